"""What marks a video as synthetic, as the writers of videos see it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@runtime_checkable
class VideoMark(Protocol):
    """Says of a video that it is synthetic; `ns_talking.provenance.marking.Mark` is one."""

    @property
    def comment(self) -> str:
        """Comment in the metadata."""
        ...

    def imprint(self, frame: UInt8[np.ndarray, "height width channels"]) -> UInt8[np.ndarray, "height width channels"]:
        """Put the watermark into a frame."""
        ...

    def apply(self, path: Path, title: str) -> None:
        """Sign the finished file in its place, under the name that it will have."""
        ...
