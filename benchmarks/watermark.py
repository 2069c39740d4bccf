"""Measure the watermark: how often its 32 bits are read after what platforms do, what it costs, and wrong alarms.

Clips are cut into pieces, each with a payload of its own, written as `ns-talking render` writes them (crf 18), decoded,
changed, encoded again, and read. A piece counts as read when the payload is found above the threshold and all of its
bits are right; the accuracy of bits counts the likeliest payload of the others as well.

    python benchmarks/watermark.py --clips talk.mp4 --frames drawn/images --output benchmarks/results/watermark.json
"""

from __future__ import annotations

import json
import math
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import tyro

from ns_talking.provenance.watermark import STRENGTH, imprint
from ns_talking.provenance.watermark_reading import THRESHOLD, WRONG_ALARMS, likeliest
from ns_talking.utils.files import write_json
from ns_talking.utils.source import commit
from ns_talking.utils.video import VideoWriter, read_frames

Frames = Sequence[np.ndarray]
_FPS = 25.0


def _half(frames: Frames) -> Frames:
    return [cv2.resize(f, (f.shape[1] // 2, f.shape[0] // 2), interpolation=cv2.INTER_AREA) for f in frames]


def _cropped(frames: Frames) -> Frames:
    height, width = frames[0].shape[:2]
    top, left = round(0.06 * height), round(0.03 * width)
    return [f[top : top + round(0.9 * height), left : left + round(0.9 * width)] for f in frames]


def _at_30(frames: Frames) -> Frames:
    return [frames[min(len(frames) - 1, int(k * 25 / 30 + 0.5))] for k in range(len(frames) * 6 // 5)]


CHANGES: dict[str, tuple[Callable[[Frames], Frames], int, float]] = {
    "crf 23": (lambda frames: frames, 23, _FPS),
    "crf 28": (lambda frames: frames, 28, _FPS),
    "0.5x, crf 28": (_half, 28, _FPS),
    "crop 10 %, crf 28": (_cropped, 28, _FPS),
    "25 to 30 fps, crf 28": (_at_30, 28, 30.0),
}


@dataclass
class WatermarkBenchmark:
    """Measure and write a record."""

    clips: tuple[Path, ...] = ()
    """Videos whose frames carry the watermark."""
    frames: tuple[Path, ...] = ()
    """Folders of images, or .npy files [frames, height, width, 3], in the order of time."""
    sizes: tuple[int, ...] = (512, 256)
    """Shorter sides in px at which each is measured; 0 as it is. None is enlarged."""
    seconds: float = 2.0
    """Length of a piece."""
    pieces: int = 8
    """Pieces of each carrier at most, spread over it."""
    unmarked: int = 1000
    """Unmarked frames to look at, each at `unmarked-sizes` sizes of cells."""
    unmarked_sizes: int = 6
    output: Path | None = None
    """Record to write; one that is there is added to."""
    _record: dict = field(default_factory=dict, init=False)

    def main(self) -> None:
        """Measure."""
        self._record = json.loads(self.output.read_text()) if self.output and self.output.is_file() else {}
        self._record |= {
            "format": "watermark-1",
            "commit": commit(),
            "machine": platform.processor() or platform.machine(),
            "strength": STRENGTH,
            "threshold": THRESHOLD,
            "wrong_alarms_by_design": WRONG_ALARMS,
        }
        self._record.setdefault("carriers", {})
        self._keep()
        self._record["imprint_ms_512"] = _imprint_ms()
        for source in (*self.clips, *self.frames):
            for size in self.sizes:
                self._measure(source, size)
                self._keep()
        if self.unmarked:
            self._look_at_unmarked()
            self._keep()

    def _keep(self) -> None:
        if self.output is not None:
            write_json(self.output, self._record)

    def _measure(self, source: Path, size: int) -> None:
        name = f"{source.parent.name if source.is_dir() else source.stem}, {size or 'own'} px"
        rows: dict[str, dict[str, float]] = {}
        errors: list[float] = []
        generator = np.random.default_rng(0)
        for piece in _pieces(source, size, round(self.seconds * _FPS), self.pieces):
            payload = int(generator.integers(0, 1 << 32))
            marked = [imprint(frame, payload) for frame in piece]
            errors += [float(np.square(a.astype(np.float32) - b).mean()) for a, b in zip(piece, marked, strict=True)]
            written = _encoded(marked, 18, _FPS)
            for change, (change_frames, crf, fps) in CHANGES.items():
                found = likeliest(_encoded(change_frames(written), crf, fps)[::2])
                assert found is not None
                wrong = (found.payload ^ payload).bit_count()
                row = rows.setdefault(change, {"pieces": 0, "read": 0, "wrong_bits": 0, "lowest": math.inf, "false": 0})
                row["pieces"] += 1
                row["read"] += wrong == 0 and found.score >= THRESHOLD
                row["false"] += wrong > 0 and found.score >= THRESHOLD
                row["wrong_bits"] += wrong
                row["lowest"] = min(row["lowest"], round(found.score, 2))
        for change, row in rows.items():
            row["bit_accuracy"] = 1 - row["wrong_bits"] / (32 * row["pieces"])
            print(f"{name:40} {change:24} {row}", flush=True)
        if rows:
            found_psnr = 10 * math.log10(255**2 / float(np.mean(errors)))
            print(f"{name:40} PSNR {found_psnr:.2f} dB", flush=True)
            self._record["carriers"][name] = {"psnr_db": found_psnr, "seconds": self.seconds, "changes": rows}

    def _look_at_unmarked(self) -> None:
        """Look for a watermark in frames without one, at the size it would have, half of it, and others near those."""
        scores = []
        sources = [*self.clips, *self.frames]
        for source in sources:
            count = self.unmarked // len(sources)
            frames = [frame for piece in _pieces(source, 128, 25, 10**6) for frame in piece]
            for at in np.linspace(0, len(frames) - 1, count).astype(int):
                found = likeliest([frames[at]], self.unmarked_sizes)
                scores.append(found.score if found else 0.0)
        if scores:
            self._record["unmarked"] = {
                "frames": len(scores),
                "sizes_each": self.unmarked_sizes,
                "highest": max(scores),
                "mean": float(np.mean(scores)),
                "seen": int(np.sum(np.array(scores) >= THRESHOLD)),
            }
            print(self._record["unmarked"], flush=True)


def _pieces(source: Path, size: int, length: int, most: int) -> Iterator[Frames]:
    """Cut a carrier into pieces, spread over it."""
    whole = list(_all_frames(source, size))
    count = max(1, min(most, len(whole) // length))
    for start in np.linspace(0, max(0, len(whole) - length), count).astype(int):
        piece = whole[start : start + length]
        if size == 0 or min(piece[0].shape[:2]) >= size:
            yield piece


def _all_frames(source: Path, size: int) -> Iterator[np.ndarray]:
    if source.suffix == ".npy":
        frames: Iterator[np.ndarray] = iter(np.load(source, allow_pickle=False))
    elif source.is_dir():
        paths = sorted(source.iterdir())
        frames = (np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]) for path in paths)
    else:
        frames = islice(read_frames(source, _FPS), 1800)
    for frame in frames:
        height, width = frame.shape[:2]
        scale = size / min(height, width)
        if 0 < scale < 1:
            frame = cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        yield frame


def _encoded(frames: Frames, crf: int, fps: float) -> Frames:
    """Encode frames and decode them again."""
    height, width = frames[0].shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        with VideoWriter(path, width, height, fps, None, crf, comment="") as writer:
            for frame in frames:
                writer.write(np.ascontiguousarray(frame))
        return list(read_frames(path, float(Fraction(fps).limit_denominator(1001))))


def _imprint_ms(repeats: int = 200) -> float:
    """Median processor time of imprinting a frame of 512 x 512 px, on one thread."""
    cv2.setNumThreads(1)
    frame = np.random.default_rng(0).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    imprint(frame, 1)
    times = []
    for _ in range(repeats):
        began = time.process_time()
        imprint(frame, 1)
        times.append(time.process_time() - began)
    return float(np.median(times)) * 1e3


if __name__ == "__main__":
    tyro.cli(WatermarkBenchmark).main()
