"""Where the head ends: the jaw line of the landmarks, carried on past the ears, and the face's own axes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from ns_talking.data.format import Region
from ns_talking.data.landmarks import LandmarkScheme

_SUBPIXEL_BITS = 4
_LOBE_REACH = 0.45
"""How far the line runs sideways past the corners of the jaw, in outer-eye distances: under the lobes of the ears."""


@dataclass(frozen=True)
class FaceAxes:
    """The face in the image plane: where it is, how it is turned, how large it is."""

    origin: Float[np.ndarray, "2"]
    """Middle between the outer eye corners, px."""
    right: Float[np.ndarray, "2"]
    """Unit vector towards the image's right eye corner."""
    down: Float[np.ndarray, "2"]
    """Unit vector at right angles to `right`, towards the chin."""
    eye_distance_px: float
    """Distance of the outer eye corners, the unit of `coordinates`."""

    @staticmethod
    def of(landmarks: Float[np.ndarray, "points axes"], layout: LandmarkScheme) -> FaceAxes:
        """Measure them on one frame."""
        first = landmarks[layout.right_eye[0], :2].astype(np.float64)
        second = landmarks[layout.left_eye[3], :2].astype(np.float64)
        across = second - first
        length = max(float(np.linalg.norm(across)), 1e-6)
        right = across / length
        return FaceAxes((first + second) / 2, right, np.array([-right[1], right[0]]), length)

    def coordinates(self, points: Float[np.ndarray, "... 2"]) -> Float[np.ndarray, "... 2"]:
        """Express points as (right, down) of the eyes' middle, in outer-eye distances."""
        offset = points - self.origin
        return np.stack([offset @ self.right, offset @ self.down], axis=-1) / self.eye_distance_px

    def point(self, right: float, down: float) -> Float[np.ndarray, "2"]:
        """Express (right, down) in px."""
        return self.origin + self.eye_distance_px * (right * self.right + down * self.down)


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


def fill(image: UInt8[np.ndarray, "height width"], outline: Float[np.ndarray, "points 2"], value: int) -> None:
    """Fill a polygon given in px with pixel centres at +0.5; OpenCV puts them at whole numbers."""
    limit = 1 << 14
    scaled = np.clip(np.asarray(outline, dtype=np.float64) - 0.5, -limit, limit) * (1 << _SUBPIXEL_BITS)
    cv2.fillPoly(image, [np.rint(scaled).astype(np.int32)], int(value), lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
