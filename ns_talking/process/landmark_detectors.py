"""Landmark detectors behind one protocol: MediaPipe's Face Landmarker, and face-alignment as an extra."""

from __future__ import annotations

import importlib
import inspect
import platform
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from ns_talking.process.models import find_model
from ns_talking.utils.model_files import torch_hub_folder
from ns_talking.utils.native_output import hidden_native_stderr
from ns_talking.utils.optional import require

_MODEL = "face_landmarker.task"
_MAX_FACES = 4


@dataclass(frozen=True)
class Face:
    """One face in one image."""

    points: Float[np.ndarray, "points 3"]
    """x and y in px, pixel centres at +0.5; depth in the same unit, growing away from the camera."""
    blendshapes: Float[np.ndarray, " shapes"] | None = None
    """Expression coefficients in [0, 1], where the detector has them."""


@runtime_checkable
class LandmarkDetector(Protocol):
    """Finds faces and their landmarks in single images; a context manager that may be used from several threads."""

    scheme: str
    """Name of its scheme in `ns_talking.data.landmarks`."""
    version: str
    """Which code and weights it is."""

    def __init__(self, models: Path | None) -> None:
        """Load the weights, from a folder of the user's choice first."""
        ...

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[Face]:
        """Find all faces of an RGB image."""
        ...

    def __enter__(self) -> LandmarkDetector: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class MediaPipeDetector:
    """MediaPipe Face Landmarker on single images: its video mode low-passes the landmarks and lags behind."""

    scheme = "mediapipe478"

    def __init__(self, models: Path | None) -> None:
        """Load the weights.

        Raises:
            ImportError: When MediaPipe is not installed, with what to do.
            FileNotFoundError: When the weights are neither here nor to be had.
        """
        try:
            self._mediapipe = require("mediapipe", extra=None, purpose="Finding landmarks with MediaPipe")
            self._tasks = require("mediapipe.tasks.python", extra=None, purpose="Finding landmarks with MediaPipe")
        except ImportError as error:
            raise ImportError(
                f"{error}\nThere are wheels for Linux on x86-64, macOS on Apple silicon and Windows on x86-64; this "
                f"is {platform.system()} on {platform.machine()}. Elsewhere use the other detector: "
                "pip install 'ns-talking[face-alignment]', then --landmarks face-alignment."
            ) from error
        self._model = find_model(_MODEL, models)
        self.version = f"mediapipe {self._mediapipe.__version__}"
        self._own = threading.local()
        self._opened: list[Any] = []  # Any: MediaPipe has no public type stubs.

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[Face]:
        """Find all faces of an RGB image."""
        if not hasattr(self._own, "landmarker"):
            self._own.landmarker = self._open()
        picture = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        found = self._own.landmarker.detect(picture)
        height, width = image.shape[:2]
        # x, y and z are shares of the image's width, height and width.
        size = np.array([width, height, width], dtype=np.float32)
        faces = []
        for points, shapes in zip(found.face_landmarks, found.face_blendshapes, strict=True):
            coordinates = np.array([[point.x, point.y, point.z] for point in points], dtype=np.float32) * size
            faces.append(Face(coordinates, np.array([shape.score for shape in shapes], dtype=np.float32)))
        return faces

    def __enter__(self) -> MediaPipeDetector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._opened:
            self._opened.pop().close()

    def _open(self) -> Any:  # Any: see above.
        vision = self._tasks.vision
        options = vision.FaceLandmarkerOptions(
            base_options=self._tasks.BaseOptions(model_asset_path=str(self._model)),
            running_mode=vision.RunningMode.IMAGE,
            num_faces=_MAX_FACES,
            output_face_blendshapes=True,
        )
        blank = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.zeros((64, 64, 3), dtype=np.uint8)
        )
        # It greets with warnings about its own inner workings, the last of them at the first image.
        with hidden_native_stderr():
            landmarker = vision.FaceLandmarker.create_from_options(options)
            self._opened.append(landmarker)
            landmarker.detect(blank)
        return landmarker


def _weights_of(package: str) -> list[str]:
    """List where face-alignment gets its weights; the last part of an address is the name of its file."""
    found = []
    for module, names in (
        (f"{package}.detection.sfd.sfd_detector", ("s3fd",)),
        (f"{package}.api", ("3DFAN-4", "depth")),
    ):
        tables = vars(importlib.import_module(module))
        # Before 1.5 `models_urls` held those for old versions of PyTorch.
        table = tables.get("default_model_urls", tables.get("models_urls", {}))
        found += [table[name] for name in names if name in table]
    return found


class FaceAlignmentDetector:
    """The 68 points of face-alignment's 3D network; it downloads its own weights on first use."""

    scheme = "ibug68"

    def __init__(self, models: Path | None) -> None:
        """Load the weights.

        Raises:
            ImportError: When face-alignment is not installed.
            FileNotFoundError: When its weights cannot be downloaded; the message names the files.
        """
        package = require("face_alignment", extra="face-alignment", purpose="Finding landmarks with face-alignment")
        options = {"device": "cpu", "flip_input": False}
        if "compile" in inspect.signature(package.FaceAlignment).parameters:
            # From 1.5 on it would compile its networks first, which takes minutes and a compiler for C++.
            options["compile"] = False
        try:
            self._network = package.FaceAlignment(package.LandmarksType.THREE_D, **options)
        except OSError as error:
            folder = torch_hub_folder()
            missing = [url for url in _weights_of(package.__name__) if not (folder / Path(url).name).is_file()]
            files = f" Missing: {', '.join(missing)}." if missing else ""
            raise FileNotFoundError(
                f"face-alignment could not download its weights ({error}).{files} Connect to the network once, or get "
                f"these files elsewhere and put them into {folder} (hub/checkpoints below TORCH_HOME)."
            ) from error
        self.version = f"face-alignment {getattr(package, '__version__', 'of unknown version')}"
        self._lock = threading.Lock()

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[Face]:
        """Find all faces of an RGB image."""
        with self._lock:
            found = self._network.get_landmarks_from_image(image)
        faces = []
        for points in found or []:
            coordinates = np.asarray(points, dtype=np.float32) + np.array([0.5, 0.5, 0.0], dtype=np.float32)
            # The tip of the nose is nearer to the camera than the ears, whatever sign the network's depth has.
            if coordinates[30, 2] > coordinates[[0, 16], 2].mean():
                coordinates[:, 2] *= -1
            faces.append(Face(coordinates))
        return faces

    def __enter__(self) -> FaceAlignmentDetector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass
