"""Writing pictures so that a full disk is an error that says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


def write_image(path: Path, image: np.ndarray, parameters: Sequence[int] = ()) -> None:
    """Write a picture in the format that the suffix names.

    OpenCV's own writing only tells that it failed, and not even that when the last bytes found no room.

    Args:
        path: Where to; not atomic by itself.
        image: uint8, channels in OpenCV's order.
        parameters: OpenCV's, of the format.

    Raises:
        OSError: When it cannot be written.
    """
    encoded = cv2.imencode(path.suffix, np.ascontiguousarray(image), list(parameters))[1]
    path.write_bytes(encoded.tobytes())
