"""Frames as bytes: decoded when asked for, resized once, kept while there is room."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8, UInt64
from torch import Tensor

from ns_talking.data.decoding import CLASS_SHIFT, FrameDecoder
from ns_talking.data.format import Portrait, PortraitFrame
from ns_talking.data.scratch_frames import ScratchFrames

GIB = 1 << 30
_MAX_THREADS = 8


@dataclass(frozen=True)
class PortraitImage:
    """One frame at the working size: 8 bytes per pixel, so that a pixel is gathered by one 64-bit read."""

    packed: UInt8[np.ndarray, "height width 8"]
    """Image (3), torso colour and opacity (4), parsing and class (1)."""
    background: UInt8[np.ndarray, "height width 3"]
    """The scene without the person, shared by all frames."""

    @property
    def image(self) -> UInt8[np.ndarray, "height width 3"]:
        """The person as filmed, over the background plate."""
        return self.packed[..., :3]

    @property
    def torso(self) -> UInt8[np.ndarray, "height width 4"]:
        """Neck and torso: straight (not premultiplied) colour and opacity."""
        return self.packed[..., 3:7]

    @property
    def parsing(self) -> UInt8[np.ndarray, "height width"]:
        """The `Region` of every pixel."""
        return regions_of(self.packed)

    @property
    def classes(self) -> UInt8[np.ndarray, "height width"]:
        """The `FaceClass` of every pixel, where the store tells them; else 0."""
        return classes_of(self.packed)

    @property
    def behind(self) -> UInt8[np.ndarray, "height width 3"]:
        """What the head hides: the torso over the background plate."""
        opacity = self.torso[..., 3:].astype(np.float32) / 255
        mixed = self.torso[..., :3] * opacity + self.background * (1 - opacity)
        return np.rint(mixed).astype(np.uint8)

    @property
    def pixels(self) -> UInt64[np.ndarray, " pixels"]:
        """All pixels as 64-bit words, row by row."""
        return self.packed.reshape(-1).view(np.uint64)


_Packed = TypeVar("_Packed", np.ndarray, Tensor)


def regions_of(packed: _Packed) -> _Packed:
    """Take the `Region` out of packed pixels [..., 8]."""
    return packed[..., 7] & ((1 << CLASS_SHIFT) - 1)


def classes_of(packed: _Packed) -> _Packed:
    """Take the `FaceClass` out of packed pixels [..., 8]."""
    return packed[..., 7] >> CLASS_SHIFT


class FrameStore:
    """Frames of one portrait at one size, least recently used ones dropped first.

    Safe to use from several threads.

    Args:
        portrait: The dataset.
        width: Working width in px.
        height: Working height in px.
        max_bytes: Room for decoded frames, see `ScratchFrames`.
        face_classes: Whether frames tell the `FaceClass` of every pixel.
    """

    def __init__(self, portrait: Portrait, width: int, height: int, max_bytes: int, face_classes: bool = False) -> None:
        self.face_classes = face_classes
        self.width = width
        self.height = height
        self._decoder = FrameDecoder(portrait, width, height, face_classes)
        self._kept = ScratchFrames(width, height, max_bytes)
        self._pending: dict[int, Future[PortraitImage]] = {}
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def num_bytes(self) -> int:
        """Room that decoded frames take now."""
        return self._kept.num_bytes

    def limit(self, max_bytes: int) -> None:
        """Take less room than before from now on, before frames are asked for."""
        self._kept.limit(max_bytes)

    @property
    def background(self) -> UInt8[np.ndarray, "height width 3"]:
        """The scene without the person."""
        return self._decoder.background

    def frame(self, frame: PortraitFrame) -> PortraitImage:
        """Give one frame, decoding it unless it is kept."""
        if (packed := self._kept.get(frame.index)) is not None:
            return PortraitImage(packed, self.background)
        with self._lock:
            pending = self._pending.get(frame.index)
        return pending.result() if pending is not None else self._load(frame)

    def prefetch(self, frames: Iterable[PortraitFrame]) -> None:
        """Start to decode frames that will be asked for soon, in the background."""
        for frame in frames:
            with self._lock:
                if frame.index in self._kept or frame.index in self._pending:
                    continue
                if self._pool is None:
                    threads = min(_MAX_THREADS, os.cpu_count() or 1)
                    self._pool = ThreadPoolExecutor(threads, thread_name_prefix="frames")
                self._pending[frame.index] = self._pool.submit(self._load, frame)

    def _load(self, frame: PortraitFrame) -> PortraitImage:
        try:
            packed = self._decoder.decode(frame)
            self._kept.put(frame.index, packed)
            return PortraitImage(packed, self.background)
        finally:
            with self._lock:
                self._pending.pop(frame.index, None)
