"""Landmark schemes: which points are lips, eyes and jaw, and the boxes and openings measured from them.

All functions work in pixels on `[frames, points, 2 or 3]` arrays; a frame without a face is NaN and stays NaN.
Boxes are `x0, y0, x1, y1`, continuous, y downwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class LandmarkScheme:
    """Indices of one landmark layout, subject's right side first."""

    name: str
    num_points: int
    ibug68: Int[np.ndarray, " sixty_eight"]
    """The points that correspond to the 68 of iBUG 300-W, in their order."""
    outer_lips: Int[np.ndarray, " outer_points"]
    inner_lips: Int[np.ndarray, " inner_points"]
    inner_lip_pairs: Int[np.ndarray, "pairs two"]
    """Opposite points of the upper and the lower inner lip."""
    right_eye: Int[np.ndarray, " six"]
    """Corner, two of the upper lid, corner, two of the lower lid, so that 1-5 and 2-4 are opposite."""
    left_eye: Int[np.ndarray, " six"]
    jaw: Int[np.ndarray, " jaw_points"]
    """From the subject's right ear round the chin to the left one."""
    movable: Int[np.ndarray, " movable_points"]
    """Lips, lids, brows and irises, which expressions move against the skull."""

    @property
    def lips(self) -> Int[np.ndarray, " points"]:
        """All points of the lips, outer ones first."""
        return np.concatenate([self.outer_lips, self.inner_lips])


def _indices(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


_IBUG68 = LandmarkScheme(
    name="ibug68",
    num_points=68,
    ibug68=np.arange(68),
    outer_lips=np.arange(48, 60),
    inner_lips=np.arange(60, 68),
    inner_lip_pairs=np.array([[61, 67], [62, 66], [63, 65]]),
    right_eye=np.arange(36, 42),
    left_eye=np.arange(42, 48),
    jaw=np.arange(0, 17),
    movable=np.concatenate(
        [
            np.arange(3, 14),
            np.arange(17, 27),
            _indices(37, 38, 40, 41, 43, 44, 46, 47),
            np.arange(48, 68),
        ]
    ),
)

# Indices of MediaPipe's face mesh with irises, 478 points.
_MEDIAPIPE_OUTER_LIPS = _indices(
    61,
    146,
    91,
    181,
    84,
    17,
    314,
    405,
    321,
    375,
    291,
    409,
    270,
    269,
    267,
    0,
    37,
    39,
    40,
    185,
)
_MEDIAPIPE_INNER_LIPS = _indices(
    78,
    95,
    88,
    178,
    87,
    14,
    317,
    402,
    318,
    324,
    308,
    415,
    310,
    311,
    312,
    13,
    82,
    81,
    80,
    191,
)
_MEDIAPIPE_RIGHT_LIDS = _indices(7, 163, 144, 145, 153, 154, 155, 173, 157, 158, 159, 160, 161, 246)
_MEDIAPIPE_LEFT_LIDS = _indices(249, 390, 373, 374, 380, 381, 382, 398, 384, 385, 386, 387, 388, 466)
_MEDIAPIPE_RIGHT_BROW = _indices(46, 53, 52, 65, 55, 70, 63, 105, 66, 107)
_MEDIAPIPE_LEFT_BROW = _indices(276, 283, 282, 295, 285, 300, 293, 334, 296, 336)

_MEDIAPIPE = LandmarkScheme(
    name="mediapipe478",
    num_points=478,
    ibug68=np.concatenate(
        [
            _indices(
                127,
                234,
                93,
                132,
                58,
                136,
                150,
                176,
                152,
                400,
                379,
                365,
                288,
                361,
                323,
                454,
                356,
            ),
            _indices(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
            _indices(168, 6, 195, 4, 98, 97, 2, 326, 327),
            _indices(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
            _indices(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
            _indices(78, 81, 13, 311, 308, 402, 14, 178),
        ]
    ),
    outer_lips=_MEDIAPIPE_OUTER_LIPS,
    inner_lips=_MEDIAPIPE_INNER_LIPS,
    inner_lip_pairs=np.array([[13, 14], [82, 87], [312, 317], [81, 178], [311, 402]]),
    right_eye=_indices(33, 160, 158, 133, 153, 144),
    left_eye=_indices(362, 385, 387, 263, 373, 380),
    jaw=_indices(
        234,
        93,
        132,
        58,
        172,
        136,
        150,
        149,
        176,
        148,
        152,
        377,
        400,
        378,
        379,
        365,
        397,
        288,
        361,
        323,
        454,
    ),
    movable=np.concatenate(
        [
            _MEDIAPIPE_OUTER_LIPS,
            _MEDIAPIPE_INNER_LIPS,
            _MEDIAPIPE_RIGHT_LIDS,
            _MEDIAPIPE_LEFT_LIDS,
            _MEDIAPIPE_RIGHT_BROW,
            _MEDIAPIPE_LEFT_BROW,
            np.arange(468, 478),
        ]
    ),
)

SCHEMES = {scheme.name: scheme for scheme in (_IBUG68, _MEDIAPIPE)}


def scheme(name: str) -> LandmarkScheme:
    """Look up a landmark scheme.

    Raises:
        ValueError: When there is none of that name.
    """
    if name not in SCHEMES:
        raise ValueError(f"There is no landmark scheme {name!r}. Known: {', '.join(SCHEMES)}.")
    return SCHEMES[name]


def face_box(
    landmarks: Float[np.ndarray, "frames points axes"], layout: LandmarkScheme
) -> Float[np.ndarray, "frames 4"]:
    """Bound the face from brows to chin: ER-NeRF's face rectangle."""
    return _bounding_box(landmarks[:, layout.ibug68])


def lower_face_box(
    landmarks: Float[np.ndarray, "frames points axes"], layout: LandmarkScheme
) -> Float[np.ndarray, "frames 4"]:
    """Bound the face from the base of the nose to the chin: RAD-NeRF's face rectangle."""
    box = face_box(landmarks, layout)
    box[:, 1] = landmarks[:, layout.ibug68[31:36], 1].min(axis=1)
    return box


def lips_square(
    landmarks: Float[np.ndarray, "frames points axes"], layout: LandmarkScheme
) -> Float[np.ndarray, "frames 4"]:
    """Square up the bounding box of the outer lips around its centre: the patch of the lips phase."""
    return _grow(_bounding_box(landmarks[:, layout.outer_lips]), 1.0, square=True)


def mouth_box(
    landmarks: Float[np.ndarray, "frames points axes"], layout: LandmarkScheme
) -> Float[np.ndarray, "frames 4"]:
    """Bound the lips with the skin that moves with them: a square 1.4 times as wide as the lips."""
    return _grow(_bounding_box(landmarks[:, layout.outer_lips]), 1.4, square=True)


def eye_boxes(
    landmarks: Float[np.ndarray, "frames points axes"], layout: LandmarkScheme
) -> tuple[Float[np.ndarray, "frames 4"], Float[np.ndarray, "frames 4"]]:
    """Bound both eyes with their lids: 1.3 times as wide as the eye, half as high as wide.

    The height follows the width, so that a closed eye keeps its box.

    Returns:
        Box of the subject's right eye, box of the left one.
    """
    boxes = []
    for eye in (layout.right_eye, layout.left_eye):
        box = _grow(_bounding_box(landmarks[:, eye]), 1.3, square=True)
        quarter = (box[:, 3] - box[:, 1]) / 4
        box[:, 1] += quarter
        box[:, 3] -= quarter
        boxes.append(box)
    return boxes[0], boxes[1]


def outer_eye_distance(
    landmarks: Float[np.ndarray, "frames points axes"], layout: LandmarkScheme
) -> Float[np.ndarray, " frames"]:
    """Measure the distance of the outer eye corners in px."""
    right, left = layout.right_eye[0], layout.left_eye[3]
    return np.linalg.norm(landmarks[:, right, :2] - landmarks[:, left, :2], axis=-1)


def aperture(
    landmarks: Float[np.ndarray, "frames points axes"], layout: LandmarkScheme
) -> Float[np.ndarray, " frames"]:
    """Measure how far the inner lips are open, as a share of the outer-eye distance."""
    upper, lower = layout.inner_lip_pairs[:, 0], layout.inner_lip_pairs[:, 1]
    gap = np.linalg.norm(landmarks[:, upper, :2] - landmarks[:, lower, :2], axis=-1).mean(axis=1)
    return gap / outer_eye_distance(landmarks, layout)


def eye_opening(
    landmarks: Float[np.ndarray, "frames points axes"], layout: LandmarkScheme
) -> Float[np.ndarray, " frames"]:
    """Measure the eye aspect ratio: lid gap over eye width, mean of both eyes, about 0.3 when open.

    Source:
        Soukupova and Cech, "Real-time eye blink detection using facial landmarks", 2016.
    """
    ratios = []
    for eye in (layout.right_eye, layout.left_eye):
        points = landmarks[:, eye, :2]
        gaps = np.linalg.norm(points[:, 1] - points[:, 5], axis=-1) + np.linalg.norm(
            points[:, 2] - points[:, 4], axis=-1
        )
        ratios.append(gaps / (2 * np.linalg.norm(points[:, 0] - points[:, 3], axis=-1)))
    return (ratios[0] + ratios[1]) / 2


def eye_area(
    landmarks: Float[np.ndarray, "frames points axes"], layout: LandmarkScheme
) -> Float[np.ndarray, " frames"]:
    """Measure the area of both eyes in square px: the polygons of their six points each, by the shoelace formula."""
    areas = []
    for eye in (layout.right_eye, layout.left_eye):
        x, y = landmarks[:, eye, 0], landmarks[:, eye, 1]
        areas.append(np.abs((x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1)) / 2)
    return areas[0] + areas[1]


def _bounding_box(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points[..., :2].min(axis=1), points[..., :2].max(axis=1)], axis=-1).astype(np.float64)


def _grow(box: np.ndarray, factor: float, square: bool) -> np.ndarray:
    centre = (box[:, :2] + box[:, 2:]) / 2
    half = (box[:, 2:] - box[:, :2]) / 2 * factor
    if square:
        half = np.repeat(half.max(axis=1, keepdims=True), 2, axis=1)
    return np.concatenate([centre - half, centre + half], axis=1)
