"""A folder of pictures that grows beside its place, so that an interruption costs no picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from ns_talking.utils.files import atomic_path
from ns_talking.utils.images import write_image
from ns_talking.utils.unfinished import UnfinishedFolder

_END = b"IEND\xaeB`\x82"


class ResumablePictureWriter:
    """Writes RGBA frames as 000000.png and so on, and goes on where an earlier run with the same content was stopped.

    The folder appears when it is complete. It holds no sound.

    Attributes:
        num_frames: Frames that are there, those of earlier runs included: the next one to write.
    """

    def __init__(self, folder: Path, content: Mapping[str, Any]) -> None:  # Any: JSON.
        """Say what to write.

        Args:
            folder: Where.
            content: All that the pictures depend on; pictures of another content are thrown away.
        """
        self.path, self.num_frames = folder, 0
        self._unfinished = UnfinishedFolder(folder, content)
        self._stack = ExitStack()

    def __enter__(self) -> ResumablePictureWriter:
        """Take over what is there.

        Raises:
            ValueError: When another process writes this folder.
        """
        self.num_frames = len(self._unfinished.open(_whole_pictures))
        self._stack = ExitStack()
        self._stack.callback(self._unfinished.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Move the folder into place, or keep what is there after an error."""
        with self._stack:
            if error is not None:
                if not self.num_frames:
                    self._unfinished.remove()
                return
            self._unfinished.strip()
            with atomic_path(self.path) as temporary:
                os.replace(self._unfinished.path, temporary)

    def write(self, frame: UInt8[np.ndarray, "height width 4"]) -> None:
        """Append one RGBA frame.

        Raises:
            OSError: When the file cannot be written.
        """
        new = self._unfinished.path / "new.png"
        write_image(new, cv2.cvtColor(frame, cv2.COLOR_RGBA2BGRA))
        os.replace(new, new.with_name(_name(self.num_frames)))
        self.num_frames += 1


def _name(number: int) -> str:
    return f"{number:06d}.png"


def _whole_pictures(folder: Path) -> list[Path]:
    """Find the pictures from the first to the last that ends as it should, which a power cut may have prevented."""
    found: list[Path] = []
    while (path := folder / _name(len(found))).is_file() and path.read_bytes()[-len(_END) :] == _END:
        found.append(path)
    return found
