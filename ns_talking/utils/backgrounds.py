"""Pictures and colours to put behind a portrait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

_VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif")


def is_video(text: str) -> bool:
    """Tell whether a background names a video, by its ending."""
    return Path(text).suffix.lower() in _VIDEO_SUFFIXES and Path(text).is_file()


def video_background(path: Path, fps: float, start_frame: int = 0) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Play a video again and again.

    Args:
        path: The video.
        fps: Frames per second to give.
        start_frame: Frame to begin with, as if the video had run from frame 0.
    """
    # Trainings import this file, and need no PyAV.
    from ns_talking.utils.video import read_frames

    skipped = 0
    while True:
        for image in read_frames(path, fps):
            if skipped < start_frame:
                skipped += 1
            else:
                yield image


def read_background(text: str) -> UInt8[np.ndarray, "height width 3"]:
    """Read an image file, or a colour as an image of one pixel.

    Raises:
        ValueError: When it is neither.
    """
    from PIL import ImageColor

    path = Path(text)
    if path.is_file():
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise ValueError(f"--background {path} is not an image that can be read. Use png or jpg.")
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    try:
        numbers = text.split(",")
        rgb = tuple(map(int, numbers)) if numbers[0].strip().isdigit() else ImageColor.getrgb(text)[:3]
    except ValueError:
        rgb = ()
    if len(rgb) != 3 or not all(0 <= level <= 255 for level in rgb):
        raise ValueError(
            f"--background {text!r} is neither an image file nor a colour. Colours are written as white, '#204080' or "
            "32,64,128."
        )
    return np.array(rgb, dtype=np.uint8)[None, None]


def covering(
    image: UInt8[np.ndarray, "source_height source_width 3"], width: int, height: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Scale an image to cover a frame, cutting off what stands out on both sides."""
    scale = max(width / image.shape[1], height / image.shape[0])
    size = max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])
