"""Opening a portable portrait that anyone may have written: everything is checked before it is used."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ns_talking.portable.layout import (
    FEATURES,
    FORMAT,
    HEADER,
    LARGEST_BYTES,
    LARGEST_HEADER_BYTES,
    LARGEST_SIDE_PX,
    OPTIONAL_TRACKS,
    TRACKS,
    VERSION,
    WEIGHTS,
)

_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive, as PyTorch's checkpoints are",
    b"PK\x05\x06": "a zip archive",
    b"\x80\x02": "a Python pickle, which could execute code",
    b"\x80\x03": "a Python pickle, which could execute code",
    b"\x80\x04": "a Python pickle, which could execute code",
    b"\x80\x05": "a Python pickle, which could execute code",
    b"\x1f\x8b": "compressed with gzip",
    b"!!pyt": "a config.yml with Python objects, which could execute code",
}
_NUMPY = {"float64": np.float64, "float32": np.float32, "int64": np.int64, "bool": np.bool_, "uint8": np.uint8}
_MOST_FRAMES = 300_000


@dataclass(frozen=True)
class PortableFile:
    """What a file holds, checked for everything that can be told without building the model."""

    path: Path
    facts: Mapping[str, Any]  # Any: JSON.
    """The JSON of the header."""
    tracks: Mapping[str, np.ndarray]
    """Everything but the weights."""
    weights: Mapping[str, Tensor]


def read_portable(path: Path) -> PortableFile:
    """Read a portable portrait without executing, decompressing or writing anything.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is none, was cut or changed, or claims what cannot be.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"There is no portrait {path}. Check the path.")
    _check_outside(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            facts = _facts(path, header)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # no mapping
    except (SafetensorError, OSError, RuntimeError, OverflowError) as error:
        raise refusal(path, f"its tensors are cut short, damaged or overlap ({error})") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise refusal(path, f"its tensor {name[:80]!r} holds numbers that are not finite")
    weights = {name.removeprefix(WEIGHTS): value for name, value in tensors.items() if name.startswith(WEIGHTS)}
    tracks = {name: value for name, value in tensors.items() if not name.startswith(WEIGHTS)}
    return PortableFile(path, facts, _checked_tracks(path, facts, tracks), weights)


def refusal(path: Path, reason: str) -> ValueError:
    """Say why a file is not taken for a portrait."""
    return ValueError(f"{path} is refused: {reason}. Get it again from whoever made it, by `ns-talking pack`.")


def _check_outside(path: Path) -> None:
    """Look at what the file is before a library does."""
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        raise refusal(path, f"it has {size / 2**30:.1f} GiB, a portrait has {LARGEST_BYTES / 2**30:g} at most")
    with path.open("rb") as file:
        head = file.read(9)
    for beginning, what in _OTHER_FORMATS.items():
        if head.startswith(beginning):
            raise refusal(path, f"it is no portable portrait but {what}")
    length = int.from_bytes(head[:8], "little")
    if len(head) < 9 or head[8:] != b"{":
        raise refusal(path, f"it is no portable portrait; it has {size} bytes and begins with {head[:8].hex(' ')!r}")
    if length > min(LARGEST_HEADER_BYTES, size - 8):
        raise refusal(path, f"it claims a header of {length} bytes and has {size} altogether")


def _facts(path: Path, header: Mapping[str, str]) -> dict[str, Any]:  # Any: JSON.
    if HEADER not in header:
        raise refusal(path, "it holds tensors, but no portrait")
    try:
        facts = json.loads(header[HEADER], parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refusal(path, f"its description is no JSON ({error})") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise refusal(path, "its description is that of something else")
    if not _is_count(facts.get("version"), VERSION):
        if isinstance(facts.get("version"), int) and facts["version"] > VERSION:
            raise ValueError(
                f"{path} has version {facts['version']} of the format, this ns-talking reads up to {VERSION}. "
                "Upgrade: pip install --upgrade ns-talking"
            )
        raise refusal(path, "it does not say its version")
    try:
        _check_facts(facts)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        missing = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise refusal(path, f"its description cannot be: {missing}") from error
    return facts


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _is_count(value: Any, most: int, least: int = 1) -> bool:  # Any: JSON.
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _check_facts(facts: dict[str, Any]) -> None:  # Any: JSON.
    """Insist on types and ranges of all that is not left to the model's own settings."""
    clip, features = facts["clip"], facts["features"]
    for name in ("width", "height"):
        _need(_is_count(clip[name], LARGEST_SIDE_PX, 8), f"{name} {clip[name]!r}")
    for name, most in (("focal_px", 1e6), ("fps", 240.0)):
        _need(_is_number(clip[name]) and 0 < clip[name] <= most, f"{name} {clip[name]!r}")
    bounds = clip["bounds"]
    _need(isinstance(bounds, list) and len(bounds) == 2, "the box of the head")
    for corner in bounds:
        _need(isinstance(corner, list) and len(corner) == 3 and all(map(_is_number, corner)), "the box of the head")
        _need(max(map(abs, corner)) < 100, "the box of the head")
    _need(clip["image_layout"] in ("ns-talking", "ad-nerf"), "the layout of its images")
    for value, what in ((clip["landmark_scheme"], "scheme"), (features["name"], "features"), (facts["method"], "name")):
        _need(isinstance(value, str) and re.fullmatch(r"[\w+.-]{1,60}", value) is not None, f"the {what} {value!r}")
    # It becomes the name of a file: a word and an ending, nothing that leads elsewhere.
    file = features["file"]
    _need(isinstance(file, str) and re.fullmatch(r"\w[\w-]{0,60}\.npy", file) is not None, f"the file {file!r}")
    _need(isinstance(features["identity"], str), "the identity of its features")
    description = features["description"]
    _need(description is None or isinstance(description, dict), "the description of its features")
    if description is not None:
        for name, most in (("rate_hz", 1e4), ("window", 1e4), ("length_s", 1e6)):
            _need(_is_number(description[name]) and 0 <= description[name] <= most, f"features with {name}")
        silence = description["silence"]
        _need(isinstance(silence, list) and all(map(_is_number, silence)), "the silence of its features")
        _need(isinstance(description["name"], str) and isinstance(description["identity"], str), "its features")
    _need(_is_count(facts["step"], 10**12, 0), "the iteration")
    for name in ("working_size", "downscale_factor"):
        _need(facts[name] is None or _is_count(facts[name], LARGEST_SIDE_PX), f"{name} {facts[name]!r}")
    _need(_is_number(facts["camera_scale"]) and 0 < facts["camera_scale"] <= 1, "the scale of its cameras")
    extra = facts["extra_state"]
    _need(isinstance(extra, dict), "its state")
    for name, state in extra.items():
        _need(name.endswith("_extra_state") and isinstance(state, dict), f"the state {name[:80]!r}")
        _need(all(isinstance(value, str) for value in state.values()), f"the state {name[:80]!r}")
    _need(facts["training_clip"] is None or isinstance(facts["training_clip"], str), "the hash of the clip")
    _check_cut(facts["cut"])


def _check_cut(cut: Any) -> None:  # Any: JSON.
    """Check where the frames were cut out of the video, if that is told."""
    if cut is None:
        return
    numbers = [*cut["source_size"], *cut["crop"], cut["fps"], cut["start_s"], cut["num_frames"]]
    _need(len(numbers) == 9 and all(_is_number(value) and abs(value) < 1e6 for value in numbers), "the cut")
    width, height = cut["source_size"]
    left, top, right, bottom = cut["crop"]
    _need(max(width, height) <= LARGEST_SIDE_PX, "the cut")
    _need(0 <= left < right <= width and 0 <= top < bottom <= height and cut["fps"] > 0, "the cut")


def _is_number(value: Any) -> bool:  # Any: JSON.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} is not what a portrait has")


def _checked_tracks(path: Path, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    wanted = TRACKS | {name: kind for name, kind in OPTIONAL_TRACKS.items() if name in tensors}
    odd = sorted(set(tensors) ^ (set(wanted) | {FEATURES}))
    if odd:
        raise refusal(path, f"its tensors {', '.join(map(repr, odd))[:200]} are missing or too many")
    for name, (kind, axes) in wanted.items():
        tensor = tensors[name]
        if tensor.ndim != axes or tensor.dtype != torch.from_numpy(np.zeros(0, _NUMPY[kind])).dtype:
            raise refusal(path, f"its {name} is {tensor.dtype} of shape {tuple(tensor.shape)}")
    tracks = {name: tensor.numpy() for name, tensor in tensors.items()}
    num_frames, frames = len(tracks["blink"]), tracks["frames"]
    height, width = facts["clip"]["height"], facts["clip"]["width"]
    features = tracks[FEATURES]
    holds = {
        "head_poses": tracks["head_poses"].shape == (num_frames, 4, 4) and 0 < num_frames <= _MOST_FRAMES,
        "blink": bool((np.abs(tracks["blink"]) <= 10).all()),
        "eyes": tracks["eyes"].shape[0] == num_frames and tracks["eyes"].shape[2] == 3,
        "has_face": tracks["has_face"].shape == (num_frames,),
        "frames": 0 < len(frames) == len(np.unique(frames)) and frames.min() >= 0 and frames.max() < num_frames,
        "held_out": tracks["held_out"].shape == frames.shape and not tracks["held_out"].all(),
        "background": tracks["background"].shape == (height, width, 3),
        "thumbnail": tracks["thumbnail"].shape[2] == 3 and 0 < max(tracks["thumbnail"].shape) <= 1024,
        FEATURES: features.dtype == np.float32 and features.ndim in (2, 3) and len(features) <= 4096,
        "audio_frames": "audio_frames" not in tracks or tracks["audio_frames"].shape == (num_frames,),
    }
    wrong = [name for name, fits in holds.items() if not fits]
    if wrong:
        raise refusal(path, f"its {wrong[0]} has the shape {tracks[wrong[0]].shape}, or values, that do not fit")
    return tracks
