"""Memory of `ns-talking evaluate` over the length of what is measured.

    python benchmarks/evaluation_memory.py --output outputs/memory
    python benchmarks/evaluation_memory.py --output outputs/memory --take benchmarks/results/evaluation_memory.json

Procedural heads of several lengths are drawn and trained for a few steps, then evaluated on the same number of held-out
frames: what grows there grows with the dataset. One of them is evaluated with voices of several lengths: what grows
there grows with the frames that are measured. Memory is what Linux says of the process, sampled: pages of the process
itself, which have to stay flat, and pages of mapped files, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
_EVERY_S = 0.1
_SIZE_PX = 64
_STEPS = 20
_MEASURED_S = 1.8
"""Of every clip: the held-out eleventh of twenty seconds."""
_PROTOCOL = """title: Memory
kind: {kind}
rows: [{rows}]
"""
_ROWS = {"self-reenactment": "real, re-encoded, nearest-sound, mean-face, model", "cross-driven": "real, model"}
"""Rows with wrong sound go the way of the portrait's own, and would only take time."""


@dataclass(frozen=True)
class Peak:
    """What one evaluation held at most, in MiB."""

    kind: Literal["self-reenactment", "cross-driven"]
    seconds: float
    """Of the clip, or of the voice."""
    frames: int
    """That were measured, of each row."""
    own_mib: float
    """Pages of the process itself."""
    files_mib: float
    """Pages of mapped files: libraries and data."""
    wall_s: float


def command(*parts: str, log: Path) -> tuple[float, float, float]:
    """Run a command and watch its memory.

    Returns:
        Peaks of its own pages and of those of files in MiB, and the time it took in seconds.

    Raises:
        RuntimeError: When it fails.
    """
    own = files = 0.0
    began_s = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(parts, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            try:
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            except OSError:
                break
            held = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
            own = max(own, int(held.get("RssAnon", 0)) / 1024)
            files = max(files, int(held.get("RssFile", 0)) / 1024)
            time.sleep(_EVERY_S)
    if process.wait() != 0:
        raise RuntimeError(f"{' '.join(parts)} failed: {log.read_text()[-3000:]}")
    return own, files, time.monotonic() - began_s


def drawn(folder: Path, seconds: float) -> Path:
    """Draw a head, train it for some steps, and give its config.yml; what is there already is kept."""
    drawing, runs = folder / f"head_{seconds:g}", folder / "runs"
    length = f"{seconds:g}"
    config = runs / f"head_{length}" / "er-nerf" / "x" / "config.yml"
    if not config.is_file():
        options = ["--size", str(_SIZE_PX), "--seconds", length, "--output", str(drawing)]
        command(sys.executable, "-m", "ns_talking", "demo", "--draw-only", *options, log=folder / f"draw_{length}.log")
        dataset = next(drawing.rglob("transforms.json")).parent
        steps = ["--max-num-iterations", str(_STEPS), "--vis", "tensorboard", "--output-dir", str(runs)]
        names = ["--experiment-name", f"head_{length}", "--timestamp", "x", "--data", str(dataset)]
        train = [sys.executable, "-c", "from nerfstudio.scripts.train import entrypoint; entrypoint()"]
        command(*train, "er-nerf", *steps, *names, log=folder / f"train_{length}.log")
    return config


def voice(path: Path, seconds: float) -> Path:
    """Write what somebody else says for so long."""
    from ns_talking.audio.io import write_wav
    from ns_talking.demo.identity import identity
    from ns_talking.demo.speech import synthesize

    write_wav(path, synthesize(seconds, 5, identity("chidi").voice)[0])
    return path


def evaluated(folder: Path, config: Path, seconds: float, sound: Path | None) -> Peak:
    """Evaluate a portrait on its held-out frames, or with a voice."""
    from ns_talking.evaluation.record import FILE, read_record

    kind = "self-reenactment" if sound is None else "cross-driven"
    output, protocol = folder / f"{kind}_{seconds:g}", folder / f"{kind}.yaml"
    protocol.write_text(_PROTOCOL.format(kind=kind, rows=_ROWS[kind]))
    options = ["--load-config", str(config), "--protocol", str(protocol), "--output", str(output), "--overwrite"]
    options += ["--max-seconds", str(_MEASURED_S)] if sound is None else ["--sounds", str(sound)]
    log = folder / f"{output.name}.log"
    own, files, wall_s = command(sys.executable, "-m", "ns_talking", "evaluate", *options, log=log)
    frames = read_record(output / FILE)[0].rows[-1].num_frames
    return Peak(kind, seconds, frames, round(own, 1), round(files, 1), round(wall_s, 1))


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for drawings, trainings and logs")
    parser.add_argument(
        "--clips", type=float, nargs="+", default=[20.0, 80.0, 320.0], help="lengths of clips in seconds"
    )
    parser.add_argument("--voices", type=float, nargs="+", default=[10.0, 40.0], help="lengths of voices in seconds")
    parser.add_argument("--take", type=Path, help="file for the record")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    heads = [drawn(options.output, seconds) for seconds in options.clips]
    jobs: list[tuple[Path, float, Path | None]] = list(zip(heads, options.clips, [None] * len(heads), strict=True))
    jobs += [
        (heads[0], seconds, voice(options.output / f"voice_{seconds:g}.wav", seconds)) for seconds in options.voices
    ]
    found = []
    for config, seconds, sound in jobs:
        found.append(evaluated(options.output, config, seconds, sound))
        print(found[-1], flush=True)
        if options.take is not None:
            options.take.write_text(json.dumps(_record(options, found), indent=2) + "\n")


def _record(options: argparse.Namespace, found: list[Peak]) -> dict[str, object]:
    from ns_talking.utils.source import commit

    lengths = [
        f"{name} {' '.join(f'{each:g}' for each in getattr(options, name[2:]))}" for name in ("--clips", "--voices")
    ]
    return {
        "command": " ".join(["python benchmarks/evaluation_memory.py --output FOLDER", *lengths]),
        "commit": commit() or "installed",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "size_px": _SIZE_PX,
        "processors": os.cpu_count(),
        "peaks": [asdict(peak) for peak in found],
    }


if __name__ == "__main__":
    main()
