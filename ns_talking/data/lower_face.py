"""The lower half of the face, pixel by pixel: what moves with the sound."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from ns_talking.data.format import HEAD_REGIONS
from ns_talking.data.landmarks import LandmarkScheme

_MARGIN = 5 / 512
"""The mask is grown by this share of the image's width, for the skin beside it moves as well."""
_NOSE_BASE = 33
"""The middle of the nose's base, in iBUG's order of 68."""


def lower_half_face(
    parsing: UInt8[np.ndarray, "height width"],
    landmarks: Float[np.ndarray, "points axes"],
    layout: LandmarkScheme,
) -> Bool[np.ndarray, "height width"]:
    """Mark skin, lips and inner mouth under the base of the nose.

    The line runs through the base of the nose, along the outer corners of the eyes, so that it turns with the head;
    hair and ears lie outside the hull of the landmarks.

    Source:
        AE-NeRF (Li et al., AAAI 2024) splits rays by such a mask and does not define it; this definition is ours.

    Args:
        parsing: `Region` of every pixel.
        landmarks: Of this frame, in px of this image.
        layout: Their scheme.
    """
    height, width = parsing.shape
    points = landmarks[layout.ibug68, :2].astype(np.float64)
    right, left = landmarks[layout.right_eye[0], :2], landmarks[layout.left_eye[3], :2]
    across = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)
    across = across if across[0] > 0 else -across
    down = np.array([-across[1], across[0]])
    rows, columns = np.mgrid[:height, :width] + 0.5
    below = (columns - points[_NOSE_BASE, 0]) * down[0] + (rows - points[_NOSE_BASE, 1]) * down[1] > 0
    hull = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.rint(points - 0.5).astype(np.int32)), 1)
    lower = (hull > 0) & below & np.isin(parsing, HEAD_REGIONS)
    radius = max(1, round(_MARGIN * width))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(lower.astype(np.uint8), kernel) > 0
