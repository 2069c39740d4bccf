"""Person and hair masks of a frame, from whichever segmentation model is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from ns_talking.process.models import find_model, installed_model
from ns_talking.process.step import ProcessSettings, Progress
from ns_talking.utils.optional import require
from ns_talking.utils.registry import lookup

MASK_SIZE = 256
"""Width and height of all masks in px; both models work at this size, so a larger mask would hold nothing more."""

_BODY_CLASSES = {"hair": 1, "body_skin": 2, "face_skin": 3, "clothes": 4, "other": 5}


@dataclass(frozen=True)
class PersonMasks:
    """What a model says about one frame, squeezed to `MASK_SIZE` squared; 255 is certainty."""

    person: UInt8[np.ndarray, "height width"]
    hair: UInt8[np.ndarray, "height width"] | None
    """None where the model does not know hair."""


PARSERS: dict[str, str] = {
    "selfie-multiclass": "ns_talking.process.person_masks:SelfieMulticlassSegmenter",
    "selfie": "ns_talking.process.person_masks:SelfieSegmenter",
}
"""Name of a parsing backend -> "module:class", best first; its class names the model file that it needs."""


@runtime_checkable
class PersonSegmenter(Protocol):
    """Finds the person in a frame; used as a context manager."""

    knows_hair: bool
    """Whether its masks tell hair from the rest of the person."""
    model: str
    """Name of the model file."""

    def __enter__(self) -> PersonSegmenter: ...

    def __exit__(self, *details: Any) -> None: ...

    def segment(self, image: UInt8[np.ndarray, "height width 3"]) -> PersonMasks:
        """Mask the person of one RGB frame."""
        ...


class _MediaPipeSegmenter:
    """MediaPipe's image segmenter, each frame on its own."""

    knows_hair = False
    model = "selfie_segmentation.tflite"

    def __init__(self, model: Path) -> None:
        self._mediapipe = require("mediapipe", None, "The parsing of frames")
        tasks = self._mediapipe.tasks
        options = tasks.vision.ImageSegmenterOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(model)),
            output_confidence_masks=True,
            output_category_mask=False,
        )
        self._segmenter = tasks.vision.ImageSegmenter.create_from_options(options)

    def __enter__(self) -> _MediaPipeSegmenter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._segmenter.close()

    def segment(self, image: UInt8[np.ndarray, "height width 3"]) -> PersonMasks:
        """Mask the person of one RGB frame."""
        return self._masks(self._confidences(image))

    def _confidences(self, image: np.ndarray) -> list[np.ndarray]:
        small = cv2.resize(image, (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_AREA)
        frame = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(small))
        masks = self._segmenter.segment(frame).confidence_masks
        return [np.array(mask.numpy_view(), dtype=np.float32).reshape(MASK_SIZE, MASK_SIZE) for mask in masks]

    def _masks(self, confidences: list[np.ndarray]) -> PersonMasks:
        return PersonMasks(_quantised(confidences[-1]), None)


class SelfieSegmenter(_MediaPipeSegmenter):
    """Person against background: `selfie_segmentation.tflite`, 250 KB."""


class SelfieMulticlassSegmenter(_MediaPipeSegmenter):
    """Hair, body skin, face skin, clothes and other things worn: `selfie_multiclass_256x256.tflite`."""

    knows_hair = True
    model = "selfie_multiclass_256x256.tflite"

    def _masks(self, confidences: list[np.ndarray]) -> PersonMasks:
        if len(confidences) <= max(_BODY_CLASSES.values()):
            raise ValueError(
                f"The multiclass parsing model gave {len(confidences)} classes, 6 are expected. "
                "Replace selfie_multiclass_256x256.tflite by MediaPipe's own file, or use --parsing selfie."
            )
        person = sum(confidences[index] for index in _BODY_CLASSES.values())
        return PersonMasks(_quantised(np.asarray(person)), _quantised(confidences[_BODY_CLASSES["hair"]]))


def parser_name(settings: ProcessSettings) -> str:
    """Resolve `auto` to the best backend whose model is on this machine; without any, to the one with a small model."""
    if settings.parsing != "auto":
        return settings.parsing
    for name in PARSERS:
        if installed_model(lookup(PARSERS, name, "parsing backends").model, settings.models) is not None:
            return name
    return "selfie"


def open_segmenter(settings: ProcessSettings, progress: Progress | None = None) -> PersonSegmenter:
    """Load the parsing backend that the settings ask for.

    Args:
        settings: Name the backend and where models lie.
        progress: Shows a download.

    Raises:
        ValueError: When there is no such backend.
        FileNotFoundError: When its model is neither here nor to be had.
    """
    backend = lookup(PARSERS, parser_name(settings), "parsing backends")
    return backend(find_model(backend.model, settings.models, progress))


def enlarge(
    mask: UInt8[np.ndarray, "height width"], width: int, height: int
) -> UInt8[np.ndarray, "full_height full_width"]:
    """Bring a mask to the size of the frames."""
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)


def fill_holes(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Fill what a mask encloses; what is open to the edge of the image stays open."""
    outside = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(outside, None, (0, 0), 2)
    return outside[1:-1, 1:-1] != 2


def _quantised(confidence: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(confidence * 255), 0, 255).astype(np.uint8)
