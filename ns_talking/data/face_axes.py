"""The face's own axes in the image plane, and polygons in pixels: what parts of a face are drawn with."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from ns_talking.data.landmarks import LandmarkScheme

_SUBPIXEL_BITS = 4


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


def fill(image: UInt8[np.ndarray, "height width"], outline: Float[np.ndarray, "points 2"], value: int) -> None:
    """Fill a polygon given in px with pixel centres at +0.5; OpenCV puts them at whole numbers."""
    limit = 1 << 14
    scaled = np.clip(np.asarray(outline, dtype=np.float64) - 0.5, -limit, limit) * (1 << _SUBPIXEL_BITS)
    cv2.fillPoly(image, [np.rint(scaled).astype(np.int32)], int(value), lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
