"""Where face, lips and eyes are in the frames of a split, in whole pixels at the working size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from ns_talking.data import landmarks
from ns_talking.data.format import Portrait
from ns_talking.utils.mapped import release

_FRAMES_AT_ONCE = 500
_BOXES = ("face", "lower_face", "mouth", "right_eye", "left_eye", "lips")
_NONE = np.zeros((0, 4), dtype=np.int64)


@dataclass(frozen=True)
class FaceBoxes:
    """Boxes of every frame of a split: x0, y0, x1, y1 with the upper ends excluded.

    They lie inside the image and hold a pixel at least.
    """

    width: int
    height: int
    face: Int64[np.ndarray, "frames 4"]
    lower_face: Int64[np.ndarray, "frames 4"]
    mouth: Int64[np.ndarray, "frames 4"]
    right_eye: Int64[np.ndarray, "frames 4"]
    left_eye: Int64[np.ndarray, "frames 4"]
    lips: Int64[np.ndarray, "frames 4"]
    """Square, of the same number of pixels across and down."""
    blink: Float[np.ndarray, " frames"]
    """0 open, 1 closed."""

    @property
    def num_frames(self) -> int:
        """Frames of the split."""
        return len(self.face)


def face_boxes(portrait: Portrait, indices: Sequence[int], width: int, height: int) -> FaceBoxes:
    """Measure the boxes of some frames from their landmarks.

    Args:
        portrait: The dataset.
        indices: Frames, as positions in the clip.
        width: Working width in px.
        height: Working height in px.

    Raises:
        ValueError: When a frame has no landmarks.
    """
    rows, missing, parts = np.asarray(indices, dtype=np.int64), [], []
    # In parts, of numbers that may lie on disk: all landmarks of an hour at double precision are a gigabyte.
    for start in range(0, len(rows), _FRAMES_AT_ONCE):
        part = rows[start : start + _FRAMES_AT_ONCE]
        points = portrait.landmarks[part][..., :2].astype(np.float64)
        release(portrait.landmarks)
        missing += part[np.isnan(points).any(axis=(1, 2))].tolist()
        if not missing:
            parts.append(_boxes(portrait, points, width, height))
    if missing:
        raise ValueError(
            f"Frame {missing[0]} of {portrait.folder} is listed as usable but has no landmarks "
            f"({len(missing)} frame(s) in all). Process the video again."
        )
    return FaceBoxes(
        width=width,
        height=height,
        **{name: np.concatenate([part[name] for part in parts] or [_NONE]) for name in _BOXES},
        blink=portrait.blink[rows],
    )


def _boxes(
    portrait: Portrait, points: Float[np.ndarray, "frames points 2"], width: int, height: int
) -> dict[str, Int64[np.ndarray, "frames 4"]]:
    """Give all boxes of `FaceBoxes` by name."""
    points = points * (width / portrait.width, height / portrait.height)
    layout = landmarks.scheme(portrait.landmark_scheme)
    right_eye, left_eye = landmarks.eye_boxes(points, layout)
    return {
        "face": _whole_pixels(landmarks.face_box(points, layout), width, height),
        "lower_face": _whole_pixels(landmarks.lower_face_box(points, layout), width, height),
        "mouth": _whole_pixels(landmarks.mouth_box(points, layout), width, height),
        "right_eye": _whole_pixels(right_eye, width, height),
        "left_eye": _whole_pixels(left_eye, width, height),
        "lips": _whole_squares(landmarks.lips_square(points, layout), width, height),
    }


def inside(
    boxes: Int64[np.ndarray, "rays 4"], x: Int64[np.ndarray, " rays"], y: Int64[np.ndarray, " rays"]
) -> Bool[np.ndarray, " rays"]:
    """Tell which pixels lie in their box."""
    return (x >= boxes[:, 0]) & (x < boxes[:, 2]) & (y >= boxes[:, 1]) & (y < boxes[:, 3])


def _whole_pixels(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    limit = np.array([width, height])
    lower = np.clip(np.floor(boxes[:, :2]).astype(np.int64), 0, limit - 1)
    upper = np.clip(np.ceil(boxes[:, 2:]).astype(np.int64), lower + 1, limit)
    return np.concatenate([lower, upper], axis=1)


def _whole_squares(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Round the side up, and shift squares that stick out back into the image."""
    side = np.ceil((boxes[:, 2:] - boxes[:, :2]).max(axis=1)).astype(np.int64)
    side = np.clip(side, 1, min(width, height))[:, None]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    lower = np.clip(np.rint(centre - side / 2).astype(np.int64), 0, np.array([width, height]) - side)
    return np.concatenate([lower, lower + side], axis=1)
