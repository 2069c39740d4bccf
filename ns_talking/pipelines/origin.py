"""What a portrait's videos say of their origin: method, hashes of all that went in, and who agreed to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ns_talking.data.format import MANIFEST
from ns_talking.data.subject import read_subject
from ns_talking.provenance.marking import Origin
from ns_talking.utils.files import sha256

if TYPE_CHECKING:
    from ns_talking.pipelines.portrait import PortraitPipeline


def portrait_origin(pipeline: PortraitPipeline, composite: bool = False) -> Origin:
    """Tell what a video of a portrait is made with and from.

    Args:
        pipeline: The portrait, under the sound that drives it. Its weights are hashed in any case, the file of its
            checkpoint where that is known.
        composite: Whether parts of the picture are filmed frames of the person.
    """
    model = pipeline.portrait_model
    folder = model.portrait.folder
    hashes = {"weights": weights_digest(pipeline.state_dict()), "tracked_clip": pipeline.clip.digest}
    clip = filmed(folder)
    hashes |= {"training_clip": clip} if clip else {}
    files = {"audio": pipeline.audio, "checkpoint": pipeline.checkpoint}
    hashes |= {name: sha256(path) for name, path in files.items() if path is not None and path.is_file()}
    subject = read_subject(folder)
    method = type(model).__name__.removesuffix("Model")
    return Origin(method, composite, hashes, asdict(subject) if subject else {})


def weights_digest(state: Mapping[str, Any]) -> str:
    """Hash all tensors of a state by name, type, shape and content, in the order of their names.

    It is the same wherever and however the weights are stored, unlike the hash of a checkpoint's file.

    Args:
        state: A module's or a checkpoint's state; what is no tensor does not count.

    Returns:
        64 lower-case hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def filmed(folder: Path) -> str | None:
    """Find the hash of the video that a dataset was made from; None where `ns-talking process` did not make it."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["video"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
