"""Lip shapes: the lips' landmarks with the head's rigid motion, size and place taken out.

A shape is measured in the *head frame*: axes of the clip's middle pose (x to the image's right, y down), origin at the
mean of the points that expressions leave in place, unit = the distance of the outer eye corners. Two frames of the
same clip have the same shape when the lips look the same, however the head is turned.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from ns_talking.data.landmarks import LandmarkScheme

_ROUNDS = 4
"""Passes of the alignment: the reference converges in two or three."""
_FLAT = 0.02
"""Depth below this share of the face's width carries nothing: the landmarks are two-dimensional."""


def lip_shapes(
    landmarks: Float[np.ndarray, "frames points axes"], layout: LandmarkScheme
) -> Float[np.ndarray, "frames lip_points 2"]:
    """Measure the shape of the lips in every frame, in the head frame.

    Landmarks with depth are aligned by a rotation in space, so that turning and nodding cancel; landmarks without by
    a rotation in the image, which leaves the foreshortening of a turned head in the shape.

    Source:
        Generalised Procrustes analysis with the median as reference (our design).

    Args:
        landmarks: In px, with relative depth as third axis where there is one; NaN rows where there is no face.
        layout: Their scheme.

    Returns:
        Outer lips, then inner lips, in outer-eye distances; NaN rows where there is no face.

    Raises:
        ValueError: When no frame has a face.
    """
    found = np.isfinite(landmarks[..., :2]).all(axis=(1, 2))
    if not found.any():
        raise ValueError(
            "The landmarks hold no face at all, so lips cannot be measured. Process a video that shows a face."
        )
    stable = np.setdiff1d(np.arange(layout.num_points), np.concatenate([layout.movable, layout.jaw]))
    points = landmarks[found].astype(np.float64)
    points = points if _has_depth(points) else points[..., :2]
    rigid = points[:, stable]
    origin = rigid.mean(axis=1, keepdims=True)
    rotation, scale, reference = _align(rigid - origin)
    eyes = points[:, [layout.right_eye[0], layout.left_eye[3]]] - origin
    corners = np.median(scale[:, None, None] * eyes @ rotation, axis=0)
    lips = scale[:, None, None] * ((points[:, layout.lips] - origin) @ rotation)
    shapes = np.full((len(landmarks), len(layout.lips), 2), np.nan, dtype=np.float32)
    shapes[found] = lips[..., :2] / np.linalg.norm(corners[0] - corners[1])
    return shapes


def lip_aperture(
    shapes: Float[np.ndarray, "frames lip_points 2"], layout: LandmarkScheme
) -> Float[np.ndarray, " frames"]:
    """Measure how far the inner lips of a shape are open, in outer-eye distances."""
    row = {int(point): index for index, point in enumerate(layout.lips)}
    upper = [row[int(point)] for point in layout.inner_lip_pairs[:, 0]]
    lower = [row[int(point)] for point in layout.inner_lip_pairs[:, 1]]
    return np.linalg.norm(shapes[:, upper] - shapes[:, lower], axis=-1).mean(axis=1)


def inner_lips_mask(layout: LandmarkScheme) -> Bool[np.ndarray, " lip_points"]:
    """Tell the points of a shape that lie on the inner lips."""
    return np.arange(len(layout.lips)) >= len(layout.outer_lips)


def _has_depth(points: Float[np.ndarray, "frames points axes"]) -> bool:
    if points.shape[-1] < 3 or not np.isfinite(points[..., 2]).all():
        return False
    return bool(np.median(np.ptp(points[..., 2], axis=1)) > _FLAT * np.median(np.ptp(points[..., 0], axis=1)))


def _align(
    points: Float[np.ndarray, "frames points axes"],
) -> tuple[Float[np.ndarray, "frames axes axes"], Float[np.ndarray, " frames"], Float[np.ndarray, "points axes"]]:
    """Find rotation and scale that bring each centred frame closest to the median of all.

    Returns:
        Rotations to be applied from the right, scales, the reference.
    """
    # The frame of median width is near the clip's usual pose and size.
    reference = points[np.argsort(np.ptp(points[..., 0], axis=1))[len(points) // 2]]
    rotation = np.broadcast_to(np.eye(points.shape[-1]), (len(points), *[points.shape[-1]] * 2))
    scale = np.ones(len(points))
    for _ in range(_ROUNDS):
        left, singular, right = np.linalg.svd(points.transpose(0, 2, 1) @ reference)
        sign = np.ones_like(singular)
        sign[:, -1] = np.sign(np.linalg.det(left @ right))
        rotation = (left * sign[:, None]) @ right
        scale = (singular * sign).sum(axis=1) / (points**2).sum(axis=(1, 2))
        reference = np.median(scale[:, None, None] * (points @ rotation), axis=0)
        reference = reference - reference.mean(axis=0)
    return rotation, scale, reference
