"""Decoded frames in a temporary file, which the system keeps in memory as long as nothing else needs it."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from typing import IO

import numpy as np
from jaxtyping import UInt8
from rich.markup import escape

from ns_talking.utils.progress import CONSOLE


class ScratchFrames:
    """Frames of one size, least recently used ones replaced first.

    A minute at 128 px is 0.2 GB, an hour at 512 px is 190: among the buffers of training steps that is memory which
    nobody else can have, in a file it is what the system's cache can spare. The file has no name and goes with the
    process, however that ends. Safe to use from several threads.

    Args:
        width: Width of the frames in px.
        height: Height of the frames in px.
        max_bytes: Room for frames; one is kept even when it alone exceeds it.
    """

    def __init__(self, width: int, height: int, max_bytes: int) -> None:
        self._shape = height, width, 8
        self._frame_bytes = height * width * 8
        self._capacity = self._fitting(max_bytes)
        self._slots: OrderedDict[int, int] = OrderedDict()
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()

    def __contains__(self, index: int) -> bool:
        """Tell whether a frame is kept."""
        with self._lock:
            return index in self._slots

    @property
    def num_bytes(self) -> int:
        """Room that frames take now."""
        return len(self._slots) * self._frame_bytes

    def limit(self, max_bytes: int) -> None:
        """Take less room than before; what does not fit into it is forgotten."""
        with self._lock:
            self._capacity = min(self._capacity, self._fitting(max_bytes))
            # A frame's place in the file says nothing about its age.
            self._slots = OrderedDict((index, slot) for index, slot in self._slots.items() if slot < self._capacity)

    def get(self, index: int) -> UInt8[np.ndarray, "height width 8"] | None:
        """Read a frame; None when it is not kept."""
        with self._lock:
            if index not in self._slots:
                return None
            self._slots.move_to_end(index)
            packed = np.empty(self._shape, dtype=np.uint8)
            assert self._file is not None
            self._file.seek(self._slots[index] * self._frame_bytes)
            self._file.readinto(packed.data.cast("B"))  # pyright: ignore[reportAttributeAccessIssue] # a raw file
            return packed

    def put(self, index: int, packed: UInt8[np.ndarray, "height width 8"]) -> None:
        """Keep a frame; where the disk has no room for it, say so once and keep no more frames than now."""
        with self._lock:
            if index in self._slots or not self._capacity:
                return
            if len(self._slots) >= self._capacity:
                self._slots.popitem(last=False)
            taken = set(self._slots.values())
            slot = next(slot for slot in range(self._capacity) if slot not in taken)
            try:
                self._write(slot, packed)
            except OSError as problem:
                self._capacity = len(self._slots)
                CONSOLE.print(
                    f"[yellow]No room for decoded frames in {escape(tempfile.gettempdir())} ({problem.strerror}): "
                    f"{self._capacity} are kept, others are decoded again whenever they are needed, which slows "
                    "training. Free some room there, or name another folder in TMPDIR.[/yellow]",
                    soft_wrap=True,
                )
                return
            self._slots[index] = slot

    def _fitting(self, max_bytes: int) -> int:
        return max(max_bytes // self._frame_bytes, 1)

    def _write(self, slot: int, packed: UInt8[np.ndarray, "height width 8"]) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="ns-talking-frames-", buffering=0)  # noqa: SIM115 # lives as long as we
        self._file.seek(slot * self._frame_bytes)
        left = np.ascontiguousarray(packed).data.cast("B")
        while left:
            left = left[self._file.write(left) :]
