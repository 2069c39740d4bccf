"""Model files: found in a folder of the user's or in a cache, where they are downloaded once and checked."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ns_talking.process.step import Progress
from ns_talking.utils.files import sha256

_BLOCK = 1 << 18
_TIMEOUT_S = 20


@dataclass(frozen=True)
class ModelFile:
    """One file of weights that a step needs."""

    name: str
    """File name, the same in every folder that is searched."""
    purpose: str
    """What it is for, as a noun phrase."""
    url: str
    """Official place to get it."""
    sha256: str
    """SHA-256 of its content."""
    num_bytes: int
    """Its size."""
    licence: str
    """Licence of the weights, as an SPDX identifier."""


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
MODELS: dict[str, ModelFile] = {model.name: model for model in _MODEL_FILES}


def cache_folder() -> Path:
    """Name the folder that downloads go to: `NS_TALKING_CACHE`, else the platform's cache folder."""
    if chosen := os.environ.get("NS_TALKING_CACHE"):
        return Path(chosen).expanduser() / "models"
    base = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return (Path(base) if base else Path.home() / ".cache") / "ns-talking" / "models"


def installed_model(name: str, models: Path | None = None) -> Path | None:
    """Look for a model file without downloading: `models`, then `NS_TALKING_MODELS`, then the cache.

    Args:
        name: A key of `MODELS`.
        models: Folder of the user's choice.

    Raises:
        ValueError: When a file of that name is there but its content is not the model.
    """
    model = MODELS[name]
    for folder in _search_folders(models):
        path = folder / name
        if path.is_file():
            _check(path, model)
            return path
    return None


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
    found = installed_model(name, models)
    if found is not None:
        return found
    model, target = MODELS[name], cache_folder() / name
    try:
        _download(model, target, progress)
    except (urllib.error.URLError, OSError, TimeoutError) as error:
        searched = ", ".join(str(folder) for folder in _search_folders(models))
        raise FileNotFoundError(
            f"{model.purpose} needs the file {name} ({model.num_bytes / 1e6:.1f} MB, {model.licence}). It is in none "
            f"of these folders: {searched}; downloading it failed ({getattr(error, 'reason', error)}). "
            f"Get it from {model.url} and put it into {target.parent}, or name its folder with --models DIR or "
            "NS_TALKING_MODELS."
        ) from error
    return target


def _search_folders(models: Path | None) -> Iterator[Path]:
    if models is not None:
        yield models.expanduser()
    if chosen := os.environ.get("NS_TALKING_MODELS"):
        yield Path(chosen).expanduser()
    yield cache_folder()


def _check(path: Path, model: ModelFile) -> None:
    if path.stat().st_size != model.num_bytes or sha256(path) != model.sha256:
        raise ValueError(
            f"{path} is not the {model.purpose} that is expected (its size or SHA-256 differs; expected "
            f"{model.num_bytes} bytes, {model.sha256}). Delete it and get it again from {model.url}"
        )


def _download(model: ModelFile, target: Path, progress: Progress | None) -> None:
    """Download into a `.partial` sibling that a later attempt continues, then check and rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    have = partial.stat().st_size if partial.is_file() else 0
    if have >= model.num_bytes:
        partial.unlink()
        have = 0
    request = urllib.request.Request(model.url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        if getattr(response, "status", 200) != 206:
            have = 0
        with partial.open("ab" if have else "wb") as file:
            if progress is None:
                _copy(response, file, lambda _: None)
            else:
                with progress(f"Downloading {model.name}", total=model.num_bytes, unit="bytes") as advance:
                    advance(have)
                    _copy(response, file, advance)
    try:
        _check(partial, model)
    except ValueError:
        if partial.stat().st_size >= model.num_bytes:
            partial.unlink()
            raise
        raise OSError(f"the connection ended after {partial.stat().st_size} of {model.num_bytes} bytes") from None
    os.replace(partial, target)


def _copy(source: Any, file: Any, advance: Any) -> None:  # Any: an HTTP response, a binary file, a callback.
    while block := source.read(_BLOCK):
        file.write(block)
        advance(len(block))
