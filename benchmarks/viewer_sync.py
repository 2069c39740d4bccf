"""Measure how far picture and sound are apart in the viewer, in a headless Chromium on this machine.

Every picture carries its frame number as black and white bars; the page reads them off each picture that arrives, and
at every repaint compares the frame on show with the clock of the sound that plays. The sound is played several times,
each from its first instant to its last; each play has its own figures, with what pictures took and how busy the machine
was, because both decide. A Chromium without a GPU draws its page on the processor, so the window has few pixels.

    python benchmarks/viewer_sync.py --load-config outputs/demo/ada/training/ada/er-nerf/demo/config.yml --name demo
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import torch
from timing import RESULTS, ROOT, circumstances

BITS = 12
READER = """
window.shown = null; window.samples = [];
const create = URL.createObjectURL.bind(URL);
URL.createObjectURL = (blob) => {
  const url = create(blob);
  if (blob.type && blob.type.startsWith("image/")) {
    const image = new Image();
    image.onload = () => requestAnimationFrame(() => {
      const canvas = document.createElement("canvas");
      canvas.width = image.width; canvas.height = image.height;
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      let frame = 0;
      for (let bit = 0; bit < BITS; bit++) {
        const x = Math.floor((bit + 0.5) * image.width / BITS), y = Math.floor(image.height * 0.04);
        frame = 2 * frame + (context.getImageData(x, y, 1, 1).data[0] > 127 ? 1 : 0);
      }
      window.shown = frame;
    });
    image.src = url;
  }
  return url;
};
const watch = () => {
  const audio = document.querySelector("audio[data-sound]");
  if (audio && !audio.paused && window.shown !== null) window.samples.push([audio.currentTime, window.shown / 25]);
  requestAnimationFrame(watch);
};
watch();
""".replace("BITS", str(BITS))


def main() -> None:
    """Play the sound, and print and keep the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load-config", type=Path, required=True)
    parser.add_argument("--port", type=int, default=7321)
    parser.add_argument("--plays", type=int, default=5, help="how many times the sound is played")
    parser.add_argument("--scale", type=float, default=0.5, help="pixels of the browser per pixel of its page")
    parser.add_argument("--name", help="keeps the record as benchmarks/results/viewer_sync_NAME.json")
    parser.add_argument("--samples", type=Path, help="keeps instants of sound and pictures of each play here (npz)")
    arguments = parser.parse_args()
    from nerfstudio.scripts.viewer.run_viewer import _start_viewer
    from nerfstudio.utils.eval_utils import eval_setup

    config, pipeline, _, step = eval_setup(arguments.load_config)
    config.vis = "viewer"
    config.viewer.websocket_host, config.viewer.websocket_port = "127.0.0.1", arguments.port
    _mark_pictures(pipeline.model.panel)
    threading.Thread(target=_watch, args=(arguments, pipeline.model.panel), daemon=True).start()
    _start_viewer(config, pipeline, step)


def _mark_pictures(panel: object) -> None:
    render = panel.render

    def marked(camera: object) -> dict[str, torch.Tensor]:
        outputs = render(camera)
        rgb = outputs["rgb"]
        height, width = rgb.shape[:2]
        bits = [panel.shown_frame >> (BITS - 1 - place) & 1 for place in range(BITS)]
        for place, bit in enumerate(bits):
            rgb[: max(4, height // 12), place * width // BITS : (place + 1) * width // BITS] = float(bit)
        return outputs

    panel.render = marked


def _watch(arguments: argparse.Namespace, panel: object) -> None:
    try:
        _play(arguments, panel)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _play(arguments: argparse.Namespace, panel: object) -> None:
    from playwright.sync_api import sync_playwright

    while panel._controls is None:
        time.sleep(0.2)
    records = []
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch_persistent_context(
            tempfile.mkdtemp(),
            executable_path=browser_path,
            args=[*flags, "--disable-sync"],
            headless=True,
            device_scale_factor=arguments.scale,
        )
        page = browser.new_page()
        page.set_default_timeout(300_000)
        page.add_init_script(READER)
        page.goto(f"http://127.0.0.1:{arguments.port}")
        page.wait_for_function("window.shown !== null")
        time.sleep(3)
        plays = []
        for _ in range(arguments.plays):
            page.evaluate("window.samples = []")
            page.get_by_role("button", name="Play", exact=True).click()
            page.wait_for_function("window.samples.length && document.querySelector('audio').ended")
            plays.append(np.array(page.evaluate("window.samples")))
            picture = " ".join(page.get_by_text("Resolution").first.inner_text().split())
            records.append(_figures([plays[-1]]) | _took(panel) | {"picture": picture, "load": os.getloadavg()[0]})
            print(json.dumps(records[-1], indent=1), flush=True)
            page.get_by_role("button", name="Play", exact=True).wait_for()
        browser.close()
    record = circumstances() | {"window_px": [round(side * arguments.scale) for side in (1280, 720)]}
    record |= {"all": _figures(plays), "plays": records}
    print(json.dumps(record["all"], indent=1), flush=True)
    if arguments.samples is not None:
        np.savez(arguments.samples, *plays)
    if arguments.name is not None:
        path = RESULTS / f"viewer_sync_{arguments.name}.json"
        path.write_text(json.dumps(record, indent=1) + "\n")
        print(f"Wrote {path.relative_to(ROOT)}")


def _figures(plays: list[np.ndarray]) -> dict[str, object]:
    """How far pictures are ahead of the sound, over all the time that it was heard."""
    offsets_ms, pictures, repaints, seconds = [], 0, 0, 0.0
    for samples in plays:
        # By time and not by repaint: a page that stutters repaints least where it is worst.
        times_s = np.arange(samples[0, 0], samples[-1, 0], 0.005)
        latest = np.searchsorted(samples[:, 0], times_s, side="right") - 1
        offsets_ms.append(1000 * (samples[latest, 1] - times_s))
        pictures += int((np.diff(samples[:, 1]) != 0).sum())
        repaints += len(samples)
        seconds += float(np.ptp(samples[:, 0]))
    offset_ms = np.concatenate(offsets_ms)
    low, median, high = np.quantile(offset_ms, [0.05, 0.5, 0.95])
    return {
        "offset_ms": {"p5": low, "median": median, "p95": high},
        "absolute_ms": {"mean": np.abs(offset_ms).mean(), "p95": np.quantile(np.abs(offset_ms), 0.95)},
        "share_within_120_ms": float((np.abs(offset_ms) <= 120).mean()),
        "pictures_per_s": pictures / seconds,
        "repaints_per_s": repaints / seconds,
        "seconds": seconds,
    }


def _took(panel: object) -> dict[str, float]:
    pace = panel.playback.pace
    return {
        "rendered_and_sent_ms": 1000 * pace.latency_s,
        "sent_to_painted_ms": 1000 * pace.display_s,
        "interval_ms": 1000 * pace.interval_s,
    }


if __name__ == "__main__":
    main()
