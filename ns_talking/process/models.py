"""Model files of ours that are single files: what the steps of `process` and the metrics need."""

from __future__ import annotations

from pathlib import Path

from ns_talking.metrics.weights import WEIGHTS
from ns_talking.process.step import Progress
from ns_talking.utils.model_files import ModelFile, find_file, installed_file

_BUCKET = "https://storage.googleapis.com"
_MODEL_FILES = (
    ModelFile(
        name="face_landmarker.task",
        purpose="MediaPipe Face Landmarker",
        url=f"{_BUCKET}/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        num_bytes=3_758_596,
        licence="Apache-2.0",
    ),
    ModelFile(
        name="selfie_segmentation.tflite",
        purpose="MediaPipe person segmentation",
        url=f"{_BUCKET}/mediapipe-assets/selfie_segmentation.tflite?generation=1683332563830600",
        sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        num_bytes=249_505,
        licence="Apache-2.0",
    ),
    ModelFile(
        name="selfie_multiclass_256x256.tflite",
        purpose="MediaPipe segmentation of hair, skin and clothes",
        url=f"{_BUCKET}/mediapipe-models/image_segmenter/selfie_multiclass_256x256/float32/1/"
        "selfie_multiclass_256x256.tflite",
        sha256="c6748b1253a99067ef71f7e26ca71096cd449baefa8f101900ea23016507e0e0",
        num_bytes=16_371_837,
        licence="Apache-2.0",
    ),
)
MODELS: dict[str, ModelFile] = {model.name: model for model in (*_MODEL_FILES, *WEIGHTS)}
"""Every single file of weights, by its name."""


def installed_model(name: str, models: Path | None = None) -> Path | None:
    """Look for a model file without downloading: `models`, then `NS_TALKING_MODELS`, then the cache.

    Args:
        name: A key of `MODELS`.
        models: Folder of the user's choice.

    Raises:
        ValueError: When a file of that name is there but its content is not the model.
    """
    return installed_file(MODELS[name], models)


def find_model(name: str, models: Path | None = None, progress: Progress | None = None) -> Path:
    """Find a model file, or download it into the cache.

    Args:
        name: A key of `MODELS`.
        models: Folder of the user's choice, searched first.
        progress: Shows the download.

    Raises:
        FileNotFoundError: When it is in none of the folders and cannot be downloaded.
        ValueError: When the file found or downloaded is not the model.
    """
    return find_file(MODELS[name], models, progress)
