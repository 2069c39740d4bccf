"""Writing a trained portrait into one portable file."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ns_talking.data.format import FEATURES as FEATURE_FOLDER
from ns_talking.data.subject import read_subject
from ns_talking.driving.track import nearest_to_mean
from ns_talking.pipelines.frames import clip_lens, render_frames
from ns_talking.pipelines.origin import filmed
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.portable.layout import FEATURES, FORMAT, HEADER, NUM_FEATURE_ROWS, VERSION, WEIGHTS, eye_points
from ns_talking.portable.settings import settings_as_json
from ns_talking.provenance.marking import version
from ns_talking.utils.files import atomic_path

_THUMBNAIL_PX = 256


def write_portrait(pipeline: PortraitPipeline, method: str, path: Path) -> None:
    """Write a portrait that renders without the folder of its training.

    Args:
        pipeline: The trained portrait, driven by its own clip.
        method: Name of its method.
        path: The file.

    Raises:
        ValueError: When its weights are not finite, a setting has no place in such a file, or it is a few-shot
            portrait, which is drawn from reference pictures.
    """
    from safetensors.torch import save

    model, portrait = pipeline.portrait_model, pipeline.portrait_model.portrait
    if hasattr(model.config, "num_references"):
        raise ValueError(
            f"A portrait of {method} cannot be packed yet: it is drawn from reference pictures, for which such a file "
            "has no place. Pack a portrait of another method, or hand on the folder of its training and its dataset."
        )
    if not model.audio_code.knows_rest:
        model.measure_rest(pipeline.datamanager.train_dataset, pipeline.clip_track)
    state = pipeline.state_dict()
    weights = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    broken = [name for name, value in weights.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise ValueError(
            f"The portrait cannot be packed: {len(broken)} of its tensors, the first is {broken[0]!r}, hold numbers "
            "that are not finite. Train it again, or load an earlier checkpoint."
        )
    name = pipeline.clip_track.features.name
    features = np.load(portrait.feature_files[name], mmap_mode="r", allow_pickle=False)[:NUM_FEATURE_ROWS]
    eyes = np.asarray(portrait.landmarks[:, eye_points(portrait.landmark_scheme)], dtype=np.float32)
    tracks: dict[str, np.ndarray] = {
        "head_poses": np.asarray(portrait.head_poses, dtype=np.float64),
        "blink": np.asarray(portrait.blink, dtype=np.float32),
        "frames": np.array([frame.index for frame in portrait.frames], dtype=np.int64),
        "held_out": np.array([frame.split == "test" for frame in portrait.frames], dtype=bool),
        "eyes": np.nan_to_num(eyes, nan=0.0),
        "has_face": np.isfinite(eyes).all(axis=(1, 2)),
        FEATURES: np.asarray(features, dtype=np.float32),
        "background": _background(pipeline),
        "thumbnail": thumbnail(pipeline),
    }
    if portrait.audio_frames is not None:
        tracks["audio_frames"] = np.asarray(portrait.audio_frames, dtype=np.int64)
    tensors = {WEIGHTS + key: value.detach().cpu().contiguous().clone() for key, value in weights.items()}
    tensors |= {key: torch.from_numpy(np.array(value, order="C")) for key, value in tracks.items()}
    header = _facts(pipeline, method) | {
        "extra_state": {key: value for key, value in state.items() if not isinstance(value, Tensor)}
    }
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, {"format": "pt", HEADER: json.dumps(header, allow_nan=False)}))


def thumbnail(pipeline: PortraitPipeline) -> UInt8[np.ndarray, "height width 3"]:
    """Render the frame of the clip whose pose is nearest to the usual one."""
    first = pipeline.datamanager.train_dataset.cameras[0]
    size = min(_THUMBNAIL_PX, max(int(first.width), int(first.height)))
    frame = nearest_to_mean(pipeline.clip_track.head_poses)
    lens = clip_lens(pipeline, size)
    return next(render_frames(pipeline, pipeline.clip_track, range(frame, frame + 1), lens))


def _background(pipeline: PortraitPipeline) -> UInt8[np.ndarray, "height width 3"]:
    from ns_talking.data.decoding import FrameDecoder

    portrait = pipeline.portrait_model.portrait
    return FrameDecoder(portrait, portrait.width, portrait.height).background


def _facts(pipeline: PortraitPipeline, method: str) -> dict[str, Any]:  # Any: JSON.
    """Tell everything of a portrait that is no tensor."""
    portrait, datamanager = pipeline.portrait_model.portrait, pipeline.config.datamanager
    name = pipeline.clip_track.features.name
    file = portrait.feature_files[name]
    description = file.with_suffix(".json")
    subject = read_subject(portrait.folder)
    cut = portrait.folder / "work" / "clip.json"
    clip = filmed(portrait.folder)
    step = re.search(r"step-(\d+)", pipeline.checkpoint.name) if pipeline.checkpoint else None
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"ns-talking {version()}",
        "method": method,
        "step": int(step[1]) if step else 0,
        "model": settings_as_json(pipeline.config.model),
        "working_size": datamanager.working_size,
        "camera_scale": datamanager.camera_res_scale_factor,
        "downscale_factor": datamanager.dataparser.downscale_factor,
        "clip": {
            "width": portrait.width,
            "height": portrait.height,
            "focal_px": portrait.focal_px,
            "fps": portrait.fps,
            "landmark_scheme": portrait.landmark_scheme,
            "bounds": [list(corner) for corner in portrait.bounds],
            "image_layout": portrait.image_layout,
        },
        FEATURE_FOLDER: {
            "name": name,
            "file": file.name,
            "identity": portrait.feature_identities.get(name, ""),
            "description": json.loads(description.read_text(encoding="utf-8")) if description.is_file() else None,
        },
        "subject": asdict(subject) if subject else None,
        "training_clip": clip,
        "cut": json.loads(cut.read_text(encoding="utf-8")) if cut.is_file() else None,
    }
