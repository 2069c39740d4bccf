"""Files of weights: found in a folder of the user's or in a cache, where they are downloaded once and checked."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ns_talking.utils.files import sha256

Progress = Callable[..., AbstractContextManager[Callable[..., None]]]
"""Opens one progress bar, as `ns_talking.utils.progress.progress` does."""
_BLOCK = 1 << 18
_TIMEOUT_S = 20


@dataclass(frozen=True)
class ModelFile:
    """One file that a model needs."""

    name: str
    """Name, perhaps within a folder, the same in every folder that is searched."""
    purpose: str
    """What it is for, as a noun phrase."""
    url: str
    """Official place to get it."""
    sha256: str | None
    """SHA-256 of its content; None for a small text whose address names the revision, which pins it."""
    num_bytes: int | None
    """Its size; None where it was never measured."""
    licence: str
    """Licence of the weights, as an SPDX identifier."""
    by_hand: bool = False
    """Whether users have to get it themselves, because its terms are not those of free software."""
    in_torch_hub: bool = False
    """Whether other programs keep it in torch.hub's folder, which is then searched last."""


def cache_folder() -> Path:
    """Name the folder that downloads go to: `NS_TALKING_CACHE`, else the platform's cache folder."""
    if chosen := os.environ.get("NS_TALKING_CACHE"):
        return Path(chosen).expanduser() / "models"
    base = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return (Path(base) if base else Path.home() / ".cache") / "ns-talking" / "models"


def installed_file(model: ModelFile, models: Path | None = None) -> Path | None:
    """Look for a file without downloading: `models`, then `NS_TALKING_MODELS`, then the cache.

    Args:
        model: What to look for.
        models: Folder of the user's choice.

    Raises:
        ValueError: When a file of that name is there but its content is not the model.
    """
    for folder in _folders(model, models):
        path = folder / model.name
        if path.is_file():
            _check(path, model)
            return path
    return None


def find_file(model: ModelFile, models: Path | None = None, progress: Progress | None = None) -> Path:
    """Find a file, or download it into the cache.

    Args:
        model: What to look for.
        models: Folder of the user's choice, searched first.
        progress: Shows the download.

    Raises:
        FileNotFoundError: When it is in none of the folders and cannot be downloaded.
        ValueError: When the file found or downloaded is not the model.
    """
    found = installed_file(model, models)
    if found is not None:
        return found
    target = cache_folder() / model.name
    size = "" if model.num_bytes is None else f"{model.num_bytes / 1e6:.1f} MB"
    if model.by_hand:
        raise FileNotFoundError(
            f"{model.purpose} needs the file {model.name} ({size}), which is not downloaded for you: "
            f"its terms allow research only. {_where(model, target, models)}"
        )
    try:
        _download(model, target, progress)
    except (urllib.error.URLError, OSError, TimeoutError) as error:
        raise FileNotFoundError(
            f"{model.purpose} needs the file {model.name} ({f'{size}, ' if size else ''}{model.licence}); downloading "
            f"it failed ({getattr(error, 'reason', error)}). {_where(model, target, models)}"
        ) from error
    return target


def _where(model: ModelFile, target: Path, models: Path | None) -> str:
    searched = ", ".join(str(folder) for folder in _folders(model, models))
    return (
        f"It is in none of these folders: {searched}. Get it from {model.url} and put it into {target.parent}, or name "
        "its folder with --models DIR or NS_TALKING_MODELS."
    )


def search_folders(models: Path | None) -> Iterator[Path]:
    """List the folders that may hold model files, in the order in which they are searched."""
    if models is not None:
        yield models.expanduser()
    if chosen := os.environ.get("NS_TALKING_MODELS"):
        yield Path(chosen).expanduser()
    yield cache_folder()


def _folders(model: ModelFile, models: Path | None) -> Iterator[Path]:
    yield from search_folders(models)
    if model.in_torch_hub:
        yield torch_hub_folder()


def torch_hub_folder() -> Path:
    """Name the folder that torch.hub keeps weights in, by its documented variables."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def _check(path: Path, model: ModelFile) -> None:
    state = path.stat()
    wrong_size = model.num_bytes is not None and state.st_size != model.num_bytes
    if wrong_size or (model.sha256 is not None and _hashed(path, state.st_size, state.st_mtime_ns) != model.sha256):
        size = "" if model.num_bytes is None else f"{model.num_bytes} bytes, "
        raise ValueError(
            f"{path} is not the {model.purpose} that is expected (its size or SHA-256 differs; expected "
            f"{size}{model.sha256}). Delete it and get it again from {model.url}"
        )


@lru_cache
def _hashed(path: Path, num_bytes: int, changed_ns: int) -> str:
    """Hash a file once as long as it stays as it is: an evaluation asks for the same weights row after row."""
    del num_bytes, changed_ns
    return sha256(path)


def _download(model: ModelFile, target: Path, progress: Progress | None) -> None:
    """Download into a `.partial` sibling that a later attempt continues, then check and rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    have = partial.stat().st_size if partial.is_file() else 0
    if model.num_bytes is not None and have >= model.num_bytes:
        partial.unlink()
        have = 0
    request = urllib.request.Request(model.url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        if getattr(response, "status", 200) != 206:
            have = 0
        left = response.headers.get("Content-Length")
        total = model.num_bytes if left is None else have + int(left)
        with partial.open("ab" if have else "wb") as file:
            if progress is None:
                _copy(response, file, lambda _: None)
            else:
                with progress(f"Downloading {model.name}", total=total, unit="bytes") as advance:
                    advance(have)
                    _copy(response, file, advance)
    if total is not None and partial.stat().st_size < total:
        raise OSError(f"the connection ended after {partial.stat().st_size} of {total} bytes")
    try:
        _check(partial, model)
    except ValueError:
        partial.unlink()
        raise
    os.replace(partial, target)


def _copy(source: Any, file: Any, advance: Any) -> None:  # Any: an HTTP response, a binary file, a callback.
    while block := source.read(_BLOCK):
        file.write(block)
        advance(len(block))
