"""A rendered square back in the video that it was cut from, with a soft edge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from ns_talking.utils.video import read_frames, video_info

_FEATHER = 0.08
"""Width of the soft edge as a share of the square's side."""
_KEPT = 24
"""Frames in memory: as many are decoded at a time where the track walks backward."""


class PasteBack:
    """Puts rendered frames into the frames of the original video that lent their poses.

    Source:
        Our design: a raised-cosine edge, none where the square ends with the picture.

    Args:
        video: The video that the dataset was processed from.
        dataset: The dataset, which remembers where in the video its frames are.

    Raises:
        FileNotFoundError: When the video is missing, or the dataset was not made by `ns-talking process`.
        ValueError: When it is another video.
    """

    def __init__(self, video: Path, dataset: Path) -> None:
        facts = dataset / "work" / "clip.json"
        if not facts.is_file():
            raise FileNotFoundError(
                f"--paste-back needs {facts}, which says where in the video the frames were cut out. Process the video "
                "with `ns-talking process`, and keep the dataset's folder `work`."
            )
        clip = json.loads(facts.read_text(encoding="utf-8"))
        info = video_info(video)
        self.width, self.height = clip["source_size"]
        if (info.width, info.height) != (self.width, self.height):
            raise ValueError(
                f"--paste-back {video} has {info.width} x {info.height} px, the dataset was made from a video of "
                f"{self.width} x {self.height} px. Name the video that was processed."
            )
        self._video, self._fps, self._start_s = video, float(clip["fps"]), float(clip["start_s"])
        self._num_frames = int(clip["num_frames"])
        left, top, right, bottom = (round(edge) for edge in clip["crop"])
        self._left, self._top, self._right, self._bottom = left, top, right, bottom
        self._weight = feather(
            right - left, bottom - top, (left > 0, top > 0, right < self.width, bottom < self.height)
        )

    def pasted(
        self, images: Iterator[UInt8[np.ndarray, "side side2 3"]], source_frames: list[int]
    ) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        """Paste rendered frames, one by one.

        Args:
            images: Rendered frames, of any one size.
            source_frames: Frame of the clip that lent its pose to each.
        """
        size = self._right - self._left, self._bottom - self._top
        inside = np.s_[self._top : self._bottom, self._left : self._right]
        for picture, image in zip(self._originals(source_frames), images, strict=True):
            enlarging = size[0] > image.shape[1]
            fitted = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if enlarging else cv2.INTER_AREA)
            behind = picture[inside].astype(np.float32)
            mixed = behind + self._weight[..., None] * (fitted.astype(np.float32) - behind)
            result = picture.copy()
            result[inside] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
            yield result

    def _originals(self, source_frames: list[int]) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        """Read the frames wanted: the video streams while they go forward, and backward a few are kept at a time."""
        held: dict[int, np.ndarray] = {}
        stream: Iterator[np.ndarray] = iter(())
        following = self._num_frames
        for frame in source_frames:
            if frame not in held and frame < following:
                following = max(0, frame - _KEPT + 1)
                stream = read_frames(self._video, self._fps, self._start_s + following / self._fps)
                held = {}
            while frame not in held:
                picture = next(stream, None)
                if picture is None:
                    raise ValueError(
                        f"--paste-back {self._video} ends before frame {frame} of the dataset, which has "
                        f"{self._num_frames}. Name the video that was processed."
                    )
                held[following] = picture
                following += 1
                held.pop(following - 1 - _KEPT, None)
            yield held[frame]


def feather(width: int, height: int, soft: tuple[bool, bool, bool, bool]) -> Float[np.ndarray, "height width"]:
    """Weigh the pixels of a square: 1 inside, falling to 0 towards its soft edges.

    Args:
        width: In px.
        height: In px.
        soft: Whether the left, top, right and bottom edge is soft.
    """
    reach = max(1.0, _FEATHER * min(width, height))

    def ramp(length: int, first: bool, last: bool) -> np.ndarray:
        place = np.arange(length) + 0.5
        near = np.full(length, reach)
        near = np.minimum(near, place) if first else near
        near = np.minimum(near, length - place) if last else near
        return 0.5 - 0.5 * np.cos(np.pi * near / reach)

    return (ramp(height, soft[1], soft[3])[:, None] * ramp(width, soft[0], soft[2])).astype(np.float32)
