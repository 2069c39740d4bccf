"""Where the head ends: the jaw line of the landmarks, carried on past the ears."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from ns_talking.data.face_axes import FaceAxes, fill
from ns_talking.data.format import Region
from ns_talking.data.landmarks import LandmarkScheme

_LOBE_REACH = 0.45
"""How far the line runs sideways past the corners of the jaw, in outer-eye distances: under the lobes of the ears."""


def jaw_polyline(landmarks: Float[np.ndarray, "points axes"], layout: LandmarkScheme) -> Float[np.ndarray, "corners 2"]:
    """Trace the jaw from corner to corner; the corners lie at the height of the mouth, under the ears."""
    jaw = list(layout.jaw)
    first, last = jaw.index(layout.ibug68[4]), jaw.index(layout.ibug68[12])
    return landmarks[jaw[first : last + 1], :2].astype(np.float64)


def above_jaw(
    landmarks: Float[np.ndarray, "points axes"], layout: LandmarkScheme, width: int, height: int
) -> UInt8[np.ndarray, "height width"]:
    """Mark the side of the jaw line where the head is.

    Past the corners of the jaw the line runs level with the face, under the lobes of the ears, and then rises
    outwards, so that a raised shoulder stays with the torso.

    Returns:
        255 on the head's side, 0 elsewhere.
    """
    axes = FaceAxes.of(landmarks, layout)
    jaw = jaw_polyline(landmarks, layout)
    corners = axes.coordinates(jaw[[0, -1]])
    reach = 2.0 * max(width, height) / axes.eye_distance_px
    left_x, left_y = corners[0, 0] - _LOBE_REACH, corners[0, 1]
    right_x, right_y = corners[1, 0] + _LOBE_REACH, corners[1, 1]
    outline = np.concatenate(
        [
            [axes.point(left_x - reach, left_y - reach), axes.point(left_x, left_y)],
            jaw,
            [axes.point(right_x, right_y), axes.point(right_x + reach, right_y - reach)],
        ]
    )
    mask = np.zeros((height, width), dtype=np.uint8)
    fill(mask, outline, 255)
    return mask


def paint_face_parts(
    regions: UInt8[np.ndarray, "height width"],
    landmarks: Float[np.ndarray, "points axes"],
    layout: LandmarkScheme,
) -> None:
    """Draw lips, inner mouth and eyes into a parsing image, in place."""
    fill(regions, landmarks[layout.outer_lips, :2], Region.LIPS)
    fill(regions, landmarks[layout.inner_lips, :2], Region.INNER_MOUTH)
    for eye in (layout.right_eye, layout.left_eye):
        fill(regions, landmarks[eye, :2], Region.EYES)
