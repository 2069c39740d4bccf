"""Faces of measured frames: landmarks found at one width, whatever the size of the portrait."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from ns_talking.evaluation.subject import Image
from ns_talking.metrics.base import MEASURED_PX, Picture
from ns_talking.process.faces import face_size
from ns_talking.process.landmark_detectors import LandmarkDetector
from ns_talking.utils.arrays import read_array
from ns_talking.utils.files import atomic_path

_NUM_SHAPES = 52


class FaceFinder:
    """Finds the largest face of a frame, enlarged or reduced to `MEASURED_PX`."""

    def __init__(self, detector: LandmarkDetector) -> None:
        self._detector = detector

    def look(self, image: Image) -> Picture:
        """Find the face of one frame."""
        height, width = image.shape[:2]
        enlarging = cv2.INTER_CUBIC if width < MEASURED_PX else cv2.INTER_AREA
        size = MEASURED_PX, max(1, round(MEASURED_PX * height / width))
        faces = self._detector.detect(cv2.resize(image, size, interpolation=enlarging))
        if not faces:
            return Picture(image, None)
        face = max(faces, key=lambda each: face_size(each.points))
        return Picture(image, face.points, face.blendshapes)


class FaceTable:
    """Faces of the real frames on disk: found once, compared with every row, at constant memory."""

    def __init__(self, points: Path, shapes: Path) -> None:
        self._paths = points, shapes

    @classmethod
    def find(cls, folder: Path, images: Iterable[Image], count: int, num_points: int, finder: FaceFinder) -> FaceTable:
        """Read what an earlier run found, or find it.

        Args:
            folder: Where the tables lie; it belongs to these very frames and this detector.
            images: The frames; only looked at when nothing was found yet.
            count: How many there are.
            num_points: Landmarks per face.
            finder: Finds them.
        """
        paths = folder / "points.npy", folder / "shapes.npy"
        wanted = (count, num_points, 3), (count, _NUM_SHAPES)
        if not all(_holds(path, shape) for path, shape in zip(paths, wanted, strict=True)):
            with (
                atomic_path(paths[0]) as first,
                atomic_path(paths[1]) as second,
                first.open("wb") as points,
                second.open("wb") as shapes,
            ):
                _begin(points, wanted[0])
                _begin(shapes, wanted[1])
                for image in images:
                    face = finder.look(image)
                    _append(points, face.points, wanted[0][1:])
                    _append(shapes, face.blendshapes, wanted[1][1:])
        return cls(*paths)

    def picture(self, number: int, image: Image) -> Picture:
        """Give a real frame with its face."""
        # Mapped anew for every frame: the pages of one map would stay, and add up over the frames.
        points, shapes = (np.array(read_array(path, mapped=True)[number]) for path in self._paths)
        if np.isnan(points).any():
            return Picture(image, None)
        return Picture(image, points, None if np.isnan(shapes).any() else shapes)


def _begin(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _append(file: BinaryIO, values: np.ndarray | None, shape: tuple[int, ...]) -> None:
    """Write the next row; what is not known is NaN."""
    row = np.full(shape, np.nan, dtype="<f4")
    if values is not None:
        row[:] = values
    file.write(row.tobytes())


def _holds(path: Path, shape: tuple[int, ...]) -> bool:
    """Tell whether an earlier run left a table of this shape."""
    try:
        return path.is_file() and read_array(path, mapped=True).shape == shape
    except ValueError:
        return False
