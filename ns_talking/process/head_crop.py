"""A square of the video around the head, chosen once for the whole clip, so that nothing moves by cropping."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from ns_talking.data.landmarks import LandmarkScheme
from ns_talking.process.faces import face_size
from ns_talking.process.landmark_detectors import Face, LandmarkDetector

Crop = tuple[float, float, float, float]

_SIDE_IN_FACES = 2.3
"""Side of the square in heights of the face (brows to chin times 1.5), which leaves room for hair and shoulders."""
_MARGIN_IN_FACES = 0.45
_DOWN_IN_FACES = 0.08
_FILLS_WELL = 0.25


def whole(width: int, height: int) -> Crop:
    """Take the whole picture."""
    return 0.0, 0.0, float(width), float(height)


def largest_face(
    image: UInt8[np.ndarray, "height width 3"], detector: LandmarkDetector
) -> Float[np.ndarray, "points 3"] | None:
    """Find the largest face of a picture of any shape, in pixels of that picture.

    Detectors shrink the picture to a small square, so that a small face in a wide picture is only found in tiles.
    """
    for tiles in _tilings(image.shape[1], image.shape[0]):
        faces = []
        for x, y, side_x, side_y in tiles:
            for face in detector.detect(image[y : y + side_y, x : x + side_x]):
                faces.append(Face(face.points + np.array([x, y, 0], dtype=np.float32)))
        if faces:
            return max(faces, key=lambda face: face_size(face.points)).points
    return None


def head_square(faces: Float[np.ndarray, "frames points 3"], layout: LandmarkScheme, width: int, height: int) -> Crop:
    """Place a square around the head in all its positions, inside the picture.

    Args:
        faces: Landmarks of some frames, spread over the clip.
        layout: Scheme of the landmarks.
        width: Width of the picture in px.
        height: Height of the picture in px.
    """
    low, high = _face_boxes(faces, layout)
    face = float(np.median(high[:, 1] - low[:, 1]))
    # A single wild detection must not decide the square.
    first, last = np.percentile(low, 5, axis=0), np.percentile(high, 95, axis=0)
    reach = float((last - first).max()) + 2 * _MARGIN_IN_FACES * face
    side = min(max(_SIDE_IN_FACES * face, reach), float(min(width, height)))
    centre = (first + last) / 2 + np.array([0.0, _DOWN_IN_FACES * face])
    corner = np.clip(centre - side / 2, 0, np.array([width, height]) - side)
    corner, side = np.round(corner), np.floor(side)
    return float(corner[0]), float(corner[1]), float(corner[0] + side), float(corner[1] + side)


def fills_well(faces: Float[np.ndarray, "frames points 3"], layout: LandmarkScheme, width: int, height: int) -> bool:
    """Tell whether a square picture shows the head large enough to be used as it is."""
    low, high = _face_boxes(faces, layout)
    return width == height and float(np.median(high[:, 1] - low[:, 1])) >= _FILLS_WELL * height


def _face_boxes(faces: np.ndarray, layout: LandmarkScheme) -> tuple[np.ndarray, np.ndarray]:
    """Boxes from forehead to chin: brows to chin, grown upwards by half."""
    points = faces[:, layout.ibug68, :2]
    low, high = points.min(axis=1), points.max(axis=1)
    low[:, 1] -= 0.5 * (high[:, 1] - low[:, 1])
    return low, high


def _tilings(width: int, height: int) -> Iterator[list[tuple[int, int, int, int]]]:
    yield [(0, 0, width, height)]
    short = min(width, height)
    for side in (short, short // 2):
        yield [(x, y, side, side) for y in _starts(height, side) for x in _starts(width, side)]


def _starts(length: int, side: int) -> list[int]:
    """Positions of tiles that overlap by half."""
    count = max(1, int(np.ceil((length - side) / (side / 2))) + 1)
    return sorted({int(start) for start in np.linspace(0, length - side, count)})
