"""What audio features are: a table of steps over time, the windows cut from it, and who extracts it.

A *step* is a row of features; step i is the instant i / rate_hz. A *window* is a run of steps around an instant; the
audio encoder reads one window at a time. Values are raw: their statistics over the training frames belong to the
model, which keeps them in its checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float


@runtime_checkable
class FeatureTable(Protocol):
    """What a driving track needs of its sound."""

    @property
    def name(self) -> str:
        """Name of the features, for people."""
        ...

    @property
    def identity(self) -> str:
        """Which extractor made them, with which settings and weights; a model accepts only its own."""
        ...

    @property
    def channels(self) -> int:
        """Numbers per step."""
        ...

    @property
    def window(self) -> int:
        """Steps per window."""
        ...

    @property
    def duration_s(self) -> float:
        """Length of the sound in seconds."""
        ...

    def steps_per_frame(self, fps: float) -> int | None:
        """Count the steps from the window of one frame to that of the next; None where it is no whole number."""
        ...

    def windows(self, centres_s: Float[np.ndarray, " frames"]) -> Float[np.ndarray, "frames channels window"]:
        """Cut one window around each instant."""
        ...


@dataclass(frozen=True)
class AudioFeatures:
    """Features of one sound at a constant rate."""

    name: str
    """Name of the extractor in `FEATURES`."""
    values: Float[np.ndarray, "steps channels"]
    """May be a memory map, so that an hour of sound stays on disk."""
    rate_hz: float
    """Steps per second."""
    window: int
    """Steps per window."""
    silence: Float[np.ndarray, " channels"]
    """What the extractor gives for digital silence; stands before and after the sound."""
    identity: str
    """Which extractor made them, with which settings and weights."""
    length_s: float | None = None
    """Exact length of the sound in seconds; None reads it off the number of steps."""

    @property
    def channels(self) -> int:
        """Numbers per step."""
        return self.values.shape[1]

    @property
    def duration_s(self) -> float:
        """Length of the sound in seconds."""
        return max(0, len(self.values) - 1) / self.rate_hz if self.length_s is None else self.length_s

    def steps_per_frame(self, fps: float) -> int | None:
        """Count the steps from the window of one frame to that of the next; None where it is no whole number."""
        steps = round(self.rate_hz / fps)
        return steps if steps * fps == self.rate_hz else None

    def windows(self, centres_s: Float[np.ndarray, " frames"]) -> Float[np.ndarray, "frames channels window"]:
        """Cut one window around each instant; outside the sound there is silence.

        Args:
            centres_s: Instants in seconds; the window of instant t starts at step round(t rate_hz) - window // 2.
        """
        start = np.floor(np.asarray(centres_s, dtype=np.float64) * self.rate_hz + 0.5).astype(np.int64)
        steps = start[:, None] - self.window // 2 + np.arange(self.window)
        inside = (steps >= 0) & (steps < len(self.values))
        rows = np.broadcast_to(self.silence.astype(np.float32), (*steps.shape, self.channels)).copy()
        rows[inside] = self.values[steps[inside]]
        return np.ascontiguousarray(rows.transpose(0, 2, 1))


@runtime_checkable
class FeatureExtractor(Protocol):
    """A frozen extractor: the same sound always gives the same features."""

    @property
    def name(self) -> str:
        """Its key in `FEATURES`."""
        ...

    @property
    def channels(self) -> int:
        """Numbers per step."""
        ...

    @property
    def rate_hz(self) -> float:
        """Steps per second."""
        ...

    @property
    def window(self) -> int:
        """Steps per window."""
        ...

    def identity(self) -> str:
        """Name everything that the values depend on: settings, weights, version of the definition."""
        ...

    def extract(
        self, path: Path, output: Path | None = None, advance: Callable[[float], None] | None = None
    ) -> AudioFeatures:
        """Extract the features of a sound or video file, streaming.

        Args:
            path: Any file with sound.
            output: Where to put the table (.npy); the values are then a memory map of it and memory stays constant.
                The table appears complete, with whatever `load` needs beside it, or not at all.
            advance: Is told the seconds of sound that were done.
        """
        ...

    def load(self, path: Path) -> AudioFeatures:
        """Read a table that `extract` wrote, as a memory map."""
        ...


class TableWriter:
    """Writes a float32 table whose number of rows is not known in advance, to .npy or to memory.

    The header has room for any number of rows and is completed on `close`; until then it states none.
    """

    _HEADER_SIZE = 128

    def __init__(self, channels: int, path: Path | None) -> None:
        self._channels = channels
        self._path = path
        self._rows: list[np.ndarray] = []
        self._num_rows = 0
        self._file: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
            self._file.write(self._header())

    def append(self, rows: Float[np.ndarray, "steps channels"]) -> None:
        """Add rows at the end."""
        rows = np.ascontiguousarray(rows, dtype="<f4")
        self._num_rows += len(rows)
        if self._file is None:
            self._rows.append(rows)
        else:
            self._file.write(rows.tobytes())

    def close(self) -> Float[np.ndarray, "steps channels"]:
        """Finish the table and give it back, as a memory map where it lies on disk."""
        if self._file is None or self._path is None:
            return np.concatenate([np.zeros((0, self._channels), np.float32), *self._rows])
        self._file.seek(0)
        self._file.write(self._header())
        self._file.close()
        # NumPy cannot map a file without data.
        return np.load(self._path, mmap_mode="r" if self._num_rows else None)

    def abort(self) -> None:
        """Give the table up and remove its file."""
        if self._file is not None and self._path is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def _header(self) -> bytes:
        fields = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({self._num_rows}, {self._channels}), }}"
        length = self._HEADER_SIZE - 10
        return b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + fields.ljust(length - 1).encode() + b"\n"


def num_frames_of(duration_s: float, fps: float) -> int:
    """Count the video frames that cover a sound, at least one.

    A thousandth of a frame is forgiven, so that rounding never adds a frame to a sound of whole frames.
    """
    return max(1, math.ceil(duration_s * fps - 1e-3))
