"""Memory and synchrony of long jobs: rendering up to an hour, processing up to twenty minutes.

Every job runs in a fresh process, as a command does, and its peak of resident memory is what the system reports for it.
What is bounded is how much that grows with the length of the job.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import wave
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "faults"), str(ROOT / "benchmarks")]

_RATE_HZ = 16_000
_FPS = 25


@dataclass(frozen=True)
class Long:
    """What one length took."""

    minutes: float
    peak_mib: float
    """Peak of resident memory, that of the imports included."""
    cpu_s: float
    wall_s: float
    facts: dict[str, float]


def in_a_process_of_its_own(job: str, minutes: float, log: Path, **arguments: Any) -> Long:  # Any: JSON.
    """Run a job of this file in a fresh process and measure it.

    Raises:
        RuntimeError: When it fails.
    """
    report = log.with_suffix(".json")
    texts = {name: value if isinstance(value, bool) else str(value) for name, value in arguments.items()}
    began_s = time.monotonic()
    with log.open("w") as output:
        command = [sys.executable, __file__, job, json.dumps(texts), str(report)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"A job of {minutes:g} minutes failed: {log.read_text()[-3000:]}")
    # Linux counts in KiB.
    return Long(
        minutes,
        round(usage.ru_maxrss / 1024, 1),
        round(usage.ru_utime + usage.ru_stime, 1),
        round(time.monotonic() - began_s, 1),
        json.loads(report.read_text()),
    )


def babble(path: Path, minutes: float) -> Path:
    """Write syllables of noise with pauses, block by block."""
    generator = np.random.default_rng(7)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        for second in range(round(minutes * 60)):
            level = np.repeat(generator.random(5) * (generator.random(5) < 0.7), _RATE_HZ // 5)
            level *= 0 if second % 17 == 16 else 0.3
            file.writeframes(
                (generator.standard_normal(_RATE_HZ) * level * 8_000).clip(-32_000, 32_000).astype("<i2").tobytes()
            )
    return path


def render(config: Path, sound: Path, output: Path, painted: bool) -> dict[str, float]:
    """Render a sound; `painted` replaces the field by the loudness of what drives it, so that an hour takes minutes."""
    import torch

    from ns_talking.scripts import loading
    from ns_talking.scripts.render import Render

    torch.set_num_threads(1)
    pipeline = loading.load_portrait(config, None)
    if painted:
        _paint(pipeline)
    loading.load_portrait = lambda path, data: pipeline  # pyright: ignore[reportAttributeAccessIssue]
    Render(load_config=config, audio=sound, output=output, mark=False).main()
    return {}


def _paint(pipeline: Any) -> None:  # Any: the pipeline's model is replaced in part.
    import torch

    model = pipeline.portrait_model

    def outputs(camera: Any, obb_box: None = None) -> dict[str, torch.Tensor]:
        condition = model.track.at(camera.times)
        # The latest of the windows' middles is what is heard now.
        window = condition.audio[0, condition.audio.shape[1] // 2]
        loudness = window[:, window.shape[1] // 2].mean().clamp(-8, 2)
        return {"rgb": ((loudness + 8) / 10).expand(int(camera.height), int(camera.width), 3)}

    model.get_outputs_for_camera = outputs


def synchrony(video: Path, minutes: float) -> dict[str, float]:
    """Compare picture and sound of a painted video in its first and its last half minute."""
    from ns_talking.audio.io import read_audio
    from ns_talking.utils.video import read_frames, video_info

    info = video_info(video)
    lags = []
    for start_s in (0.0, minutes * 60 - 30):
        seen = np.array([frame.mean() for frame in read_frames(video, _FPS, start_s, 28)])
        heard = read_audio(video, start_s=start_s, duration_s=28)
        level = np.log(np.sqrt(np.square(heard.reshape(len(seen), -1)).mean(axis=1)) + 1e-3)
        lags.append(_lag(seen, level))
    return {
        "frames": info.num_frames,
        "frames_expected": round(minutes * 60 * _FPS),
        "lag_at_start_frames": lags[0],
        "lag_at_end_frames": lags[1],
        "drift_frames": abs(lags[1] - lags[0]),
    }


def _lag(seen: np.ndarray, heard: np.ndarray) -> float:
    """Shift, in frames and to a fraction of one, at which two curves agree best."""
    shifts = np.arange(-6, 7)
    found = [np.corrcoef(seen[8:-8], np.roll(heard, shift)[8:-8])[0, 1] for shift in shifts]
    best = int(np.argmax(found[1:-1])) + 1
    before, here, after = found[best - 1 : best + 2]
    return round(float(shifts[best] + 0.5 * (before - after) / (before - 2 * here + after)), 3)


def rendered(config: Path, folder: Path, minutes: list[float], painted: bool) -> list[Long]:
    """Render several lengths."""
    found = []
    for length in minutes:
        sound, video = babble(folder / f"{length:g}.wav", length), folder / f"{length:g}.mp4"
        log = folder / f"{length:g}.log"
        done = in_a_process_of_its_own("render", length, log, config=config, sound=sound, output=video, painted=painted)
        facts = synchrony(video, length) if painted else {}
        found.append(Long(**{**asdict(done), "facts": facts}))
        print(found[-1], flush=True)
        sound.unlink()
    return found


def growth(found: list[Long]) -> float:
    """Say by how much the longest job's peak exceeds the shortest one's, as a share."""
    return round(found[-1].peak_mib / found[0].peak_mib - 1, 4)


def processed(folder: Path, minutes: list[float]) -> list[Long]:
    """Make datasets of several lengths, from discs, with stand-ins for the networks that find face and person."""
    found = []
    for length in minutes:
        video = _disc_clip(folder / f"discs_{length:g}.mp4", length)
        dataset, log = folder / f"dataset_{length:g}", folder / f"process_{length:g}.log"
        found.append(in_a_process_of_its_own("process", length, log, video=video, dataset=dataset))
        print(found[-1], flush=True)
        shutil.rmtree(dataset)
        video.unlink()
    return found


def _disc_clip(path: Path, minutes: float) -> Path:
    """Write a red disc that sways, with babble for sound."""
    from videos import discs  # pyright: ignore[reportMissingImports]

    from ns_talking.utils.video import VideoWriter

    sound = babble(path.with_suffix(".wav"), minutes)
    with VideoWriter(path, 96, 96, _FPS, sound, crf=12) as writer:
        for frame in range(round(minutes * 60 * _FPS)):
            writer.write(discs((48 + 6 * np.sin(frame / 20), 44 + 4 * np.cos(frame / 27), 22 + 2 * np.sin(frame / 35))))
    sound.unlink()
    return path


def _process(video: Path, dataset: Path) -> dict[str, float]:
    import cv2

    from ns_talking.process.landmarks import LANDMARKS
    from ns_talking.process.person_masks import PARSERS
    from ns_talking.scripts.process import Process

    cv2.setNumThreads(1)
    LANDMARKS["discs"] = "videos:DiscDetector"
    PARSERS["discs"] = "torture_long:DiscSegmenter"
    Process(video=video, output=dataset, size=96, crop="none", landmarks="discs", parsing="discs").main()
    return {"frames": len(list((dataset / "images").iterdir()))}


class DiscSegmenter:
    """Takes the disc and all below it for the person."""

    knows_hair = False
    model = "selfie_segmentation.tflite"

    def __init__(self, model: Path) -> None:
        pass

    def __enter__(self) -> DiscSegmenter:
        return self

    def __exit__(self, *details: object) -> None:
        pass

    def segment(self, image: np.ndarray) -> Any:  # Any: imported when it is needed.
        import cv2

        from ns_talking.process.person_masks import MASK_SIZE, PersonMasks

        small = cv2.resize(image, (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_AREA)
        mask = (small[..., 0] > 128).astype(np.uint8) * 255
        return PersonMasks(np.maximum.accumulate(mask, axis=0), None)


def main() -> None:
    """Run one job, as `in_a_process_of_its_own` asks."""
    job, arguments, report = sys.argv[1:]
    options = {name: value if isinstance(value, bool) else Path(value) for name, value in json.loads(arguments).items()}
    facts = {"render": render, "process": _process}[job](**options)
    Path(report).write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
