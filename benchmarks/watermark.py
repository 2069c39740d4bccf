"""Measure the watermark: how often its 32 bits are read after what platforms do, what it costs, and wrong alarms.

Clips are cut into pieces; each carries several payloads in turn, and counts as often. It is written as
`ns-talking render` writes it (crf 18), changed, encoded again, and the file is read as `ns-talking verify` reads it. A
piece counts as read when the payload is found above the threshold and all of its bits are right; the accuracy of bits
counts the likeliest payload of the others as well.

    python benchmarks/watermark.py --clips talk.mp4 --output benchmarks/results/watermark.json

The clips must be unmarked: those of `ns-talking render --no-mark --crf 0` are pictures of a portrait, filmed ones are
not. `--group` names them in the record.
"""

from __future__ import annotations

import json
import math
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import scipy.stats
import tyro

from ns_talking.provenance.look import frames_to_look_at
from ns_talking.provenance.masking import STRENGTH
from ns_talking.provenance.watermark import imprint
from ns_talking.provenance.watermark_reading import THRESHOLD, WRONG_ALARMS, Watermark, likeliest
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
    group: str = "clips"
    """Name of these clips in the record, which is added to."""
    size: int = 0
    """Shorter side in px at which they are measured; 0 as they are. None is enlarged."""
    seconds: float = 2.0
    """Length of a piece."""
    payloads: int = 1
    """Payloads that every piece carries in turn."""
    changes: tuple[str, ...] = tuple(CHANGES)
    """What is done to the pieces."""
    unmarked: int = 0
    """Frames without a watermark to look at, encoded at crf 28 at each of `unmarked-at` px; 0 looks at none."""
    unmarked_at: tuple[int, ...] = (512, 256, 128)
    unmarked_sizes: int = 6
    """Sizes of cells that are tried in each of them; `unmarked-pieces` try all."""
    unmarked_pieces: int = 0
    """Pieces of a second without a watermark in which all sizes of cells are tried."""
    cost: bool = False
    """Measure what imprinting costs."""
    output: Path | None = None
    """Record to write; one that is there is added to."""
    _record: dict = field(default_factory=dict, init=False)

    def main(self) -> None:
        """Measure."""
        self._record = json.loads(self.output.read_text()) if self.output and self.output.is_file() else {}
        self._record |= {
            "format": "watermark-2",
            "machine": platform.processor() or platform.machine(),
            "strength": STRENGTH,
            "threshold": THRESHOLD,
            "wrong_alarms_by_design": WRONG_ALARMS,
        }
        if self.cost:
            self._record["cost"] = {"commit": commit(), **_cost()}
        if self.payloads:
            self._record.setdefault("carriers", {})[self.group] = self._measured()
        if self.unmarked or self.unmarked_pieces:
            self._record["unmarked"] = {"commit": commit(), **self._looked_at_unmarked()}
        if self.output is not None:
            write_json(self.output, self._record)

    def _measured(self) -> dict:
        rows: dict[str, dict[str, float]] = {}
        errors: list[float] = []
        num_pieces = 0
        generator = np.random.default_rng(0)
        with tempfile.TemporaryDirectory() as folder:
            for piece in (piece for clip in self.clips for piece in _pieces(clip, self.size, self._length)):
                num_pieces += 1
                for _ in range(self.payloads):
                    payload = int(generator.integers(0, 1 << 32))
                    marked = [imprint(frame, payload) for frame in piece]
                    both = zip(piece, marked, strict=True)
                    errors += [float(np.square(plain - after.astype(np.float32)).mean()) for plain, after in both]
                    written = list(read_frames(_encoded(Path(folder) / "written.mp4", marked, 18, _FPS), _FPS))
                    for change in self.changes:
                        change_frames, crf, fps = CHANGES[change]
                        passed_on = _encoded(Path(folder) / "passed_on.mp4", change_frames(written), crf, fps)
                        _count(rows.setdefault(change, {}), payload, likeliest(frames_to_look_at(passed_on)))
        for change, row in rows.items():
            row["bit_accuracy"] = 1 - row["wrong_bits"] / (32 * row["pieces"])
            row["read_at_least"] = _at_least(int(row["read"]), int(row["pieces"]))
            print(f"{self.group:40} {change:24} {row}", flush=True)
        worst_psnr, psnr = (10 * math.log10(255**2 / found) for found in (max(errors), float(np.mean(errors))))
        print(f"{self.group:40} PSNR {psnr:.2f} dB, of the worst frame {worst_psnr:.2f} dB", flush=True)
        return {
            "commit": commit(),
            "clips": len(self.clips),
            "distinct_pieces": num_pieces,
            "seconds": self.seconds,
            "payloads_each": self.payloads,
            "psnr_db": psnr,
            "lowest_psnr_db": worst_psnr,
            "changes": rows,
        }

    @property
    def _length(self) -> int:
        return round(self.seconds * _FPS)

    def _looked_at_unmarked(self) -> dict[str, dict]:
        """Look for a watermark where there is none, in pictures that were encoded again."""
        frame_scores: dict[int, list[float]] = {}
        piece_scores: dict[int, list[float]] = {}
        each = len(self.clips) * len(self.unmarked_at)
        with tempfile.TemporaryDirectory() as folder:
            for size in self.unmarked_at:
                for clip in self.clips:
                    count, pieces = -(-self.unmarked // each), -(-self.unmarked_pieces // each)
                    whole = list(_all_frames(clip, size))
                    file = _encoded(Path(folder) / "unmarked.mp4", whole, 28, _FPS)
                    again = list(read_frames(file, _FPS))
                    chosen = [[again[at]] for at in np.linspace(0, len(again) - 1, count).astype(int)]
                    frame_scores.setdefault(size, []).extend(_score(one, self.unmarked_sizes) for one in chosen)
                    begins = np.linspace(0, len(again) - 25, pieces).astype(int)
                    piece_scores.setdefault(size, []).extend(_score(again[at : at + 25], None) for at in begins)
        found = {
            "frames": {"sizes_of_cells": self.unmarked_sizes, **_alarms(frame_scores)},
            "pieces_of_a_second": {"sizes_of_cells": "all", **_alarms(piece_scores)},
        }
        print(found, flush=True)
        return found


def _count(row: dict[str, float], payload: int, found: Watermark | None) -> None:
    """Add one piece to a row of the record."""
    assert found is not None
    wrong = (found.payload ^ payload).bit_count()
    row["pieces"] = row.get("pieces", 0) + 1
    row["read"] = row.get("read", 0) + (wrong == 0 and found.score >= THRESHOLD)
    row["false"] = row.get("false", 0) + (wrong > 0 and found.score >= THRESHOLD)
    row["wrong_bits"] = row.get("wrong_bits", 0) + wrong
    row["lowest"] = min(row.get("lowest", math.inf), round(found.score, 2))


def _at_least(read: int, pieces: int) -> float:
    """Give the share that is read at least, with 95 % confidence (Clopper and Pearson, one-sided)."""
    return float(scipy.stats.beta.ppf(0.05, read, pieces - read + 1)) if read else 0.0


def _score(frames: Frames, num_sizes: int | None) -> float:
    found = likeliest(frames, num_sizes)
    return found.score if found else 0.0


def _alarms(scores: dict[int, list[float]]) -> dict[str, dict]:
    return {
        f"{size} px": {"looked_at": len(at), "highest": max(at), "seen": int(np.sum(np.array(at) >= THRESHOLD))}
        for size, at in scores.items()
        if at
    }


def _pieces(source: Path, size: int, length: int) -> Iterator[Frames]:
    """Cut a clip into pieces."""
    whole = list(_all_frames(source, size))
    for start in range(0, len(whole) - length + 1, length):
        yield whole[start : start + length]


def _all_frames(source: Path, size: int) -> Iterator[np.ndarray]:
    for frame in islice(read_frames(source, _FPS), 1800):
        height, width = frame.shape[:2]
        scale = size / min(height, width)
        if 0 < scale < 1:
            frame = cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        yield frame


def _encoded(path: Path, frames: Frames, crf: int, fps: float) -> Path:
    """Encode frames."""
    height, width = frames[0].shape[:2]
    path.unlink(missing_ok=True)
    with VideoWriter(path, width, height, fps, None, crf, comment="") as writer:
        for frame in frames:
            writer.write(np.ascontiguousarray(frame))
    return path


def _cost(repeats: int = 200) -> dict[str, float]:
    """Processor time of imprinting a frame of 512 x 512 px on one thread, and of encoding it, in turns."""
    cv2.setNumThreads(1)
    noise = np.random.default_rng(0).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    frame = cv2.GaussianBlur(noise, (0, 0), 3)
    imprint(frame, 1)
    imprinting, encoding = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        VideoWriter(Path(folder) / "cost.mp4", 512, 512, _FPS, None, 18, comment="") as writer,
    ):
        for _ in range(repeats):
            began = time.process_time()
            marked = imprint(frame, 1)
            between = time.process_time()
            writer.write(marked)
            imprinting.append(between - began)
            encoding.append(time.process_time() - between)
    quartile, median, worst = (float(np.quantile(imprinting, q)) * 1e3 for q in (0.25, 0.5, 1.0))
    ratio = sum(imprinting) / sum(encoding)
    print(f"imprinting 512 px: {quartile:.2f} ms (lower quartile), {ratio:.3f} of encoding", flush=True)
    return {"quartile_ms": quartile, "median_ms": median, "worst_ms": worst, "of_encoding": ratio}


if __name__ == "__main__":
    tyro.cli(WatermarkBenchmark).main()
