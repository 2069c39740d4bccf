"""From a checked file to a pipeline that renders."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.plugins.types import MethodSpecification

from ns_talking.data.format import BACKGROUND, FEATURES, MANIFEST, SUBJECT, Portrait, PortraitFrame
from ns_talking.data.landmarks import scheme
from ns_talking.dataparsers.base import BasePortraitDataParser, BasePortraitDataParserConfig
from ns_talking.methods.base import PortraitModelConfig
from ns_talking.pipelines.portrait import PortraitPipeline, PortraitPipelineConfig
from ns_talking.portable.layout import eye_points
from ns_talking.portable.reading import PortableFile, read_portable, refusal
from ns_talking.portable.settings import settings_from_json
from ns_talking.utils.files import write_json
from ns_talking.utils.registry import lookup


@dataclass
class PortablePortraitDataParserConfig(BasePortraitDataParserConfig):
    """A portrait without frames."""

    _target: type = field(default_factory=lambda: PortablePortraitDataParser)
    portrait: Portrait | None = None
    """What a file told."""


@dataclass
class PortablePortraitDataParser(BasePortraitDataParser):
    """Hands on what a file told."""

    config: PortablePortraitDataParserConfig

    def read(self) -> Portrait:
        """Give the portrait."""
        assert self.config.portrait is not None
        return self.config.portrait


def open_portrait(path: Path) -> PortraitPipeline:
    """Make a file of `ns-talking pack` a portrait that renders, on a GPU where there is one.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When the file is refused; the message says why.
    """
    file = read_portable(path)
    folder = tempfile.TemporaryDirectory(prefix="ns-talking-", ignore_cleanup_errors=True)
    config = _pipeline_config(file, Path(folder.name))
    _check_weights(file, config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipeline = config.setup(device=device, test_mode="inference")
    assert isinstance(pipeline, PortraitPipeline)
    pipeline.eval()
    pipeline.load_pipeline({**file.weights, **file.facts["extra_state"]}, file.facts["step"])
    pipeline.checkpoint = path
    # The folder goes when the pipeline does.
    vars(pipeline)["_unpacked"] = folder
    return pipeline


def methods() -> dict[str, str]:
    """List the methods of ns-talking that are installed, as a registry."""
    found = importlib.metadata.entry_points(group="nerfstudio.method_configs")
    return {entry.name: entry.value for entry in found if entry.value.startswith("ns_talking.")}


def _pipeline_config(file: PortableFile, folder: Path) -> PortraitPipelineConfig:
    facts = file.facts
    known = methods()
    if facts["method"] not in known:
        raise refusal(
            file.path, f"it was trained with the method {facts['method']!r}, this ns-talking has {', '.join(known)}"
        )
    specification: MethodSpecification = lookup(known, facts["method"], "methods")
    trainer: TrainerConfig = specification.config
    config = deepcopy(trainer.pipeline)
    assert isinstance(config, PortraitPipelineConfig)
    assert isinstance(config.model, PortraitModelConfig)
    try:
        config.model = settings_from_json(facts["model"], type(config.model))
    except (ValueError, TypeError) as error:
        raise refusal(file.path, f"its settings do not fit the method {facts['method']}: {error}") from error
    datamanager = config.datamanager
    datamanager.dataparser = PortablePortraitDataParserConfig(
        data=folder, downscale_factor=facts["downscale_factor"], portrait=_portrait(file, folder)
    )
    datamanager.data = folder
    datamanager.working_size = facts["working_size"]
    datamanager.camera_res_scale_factor = facts["camera_scale"]
    return config


def _portrait(file: PortableFile, folder: Path) -> Portrait:
    """Describe the dataset, and put what is read from files into a folder under names of our own."""
    facts, tracks = file.facts, file.tracks
    clip, features = facts["clip"], facts["features"]
    try:
        num_points, eyes = scheme(clip["landmark_scheme"]).num_points, eye_points(clip["landmark_scheme"])
    except ValueError as error:
        raise refusal(file.path, str(error)) from error
    if tracks["eyes"].shape[1] != len(eyes):
        raise refusal(file.path, f"its eyes have {tracks['eyes'].shape[1]} points instead of {len(eyes)}")
    landmarks = np.full((len(tracks["blink"]), num_points, 3), np.nan, dtype=np.float32)
    landmarks[:, eyes] = np.where(tracks["has_face"][:, None, None], tracks["eyes"], np.nan)
    cv2.imwrite(str(folder / BACKGROUND), tracks["background"][..., ::-1])
    (folder / FEATURES).mkdir()
    table = folder / FEATURES / features["file"]
    np.save(table, tracks[FEATURES], allow_pickle=False)
    if features["description"] is not None:
        write_json(table.with_suffix(".json"), features["description"])
    if facts["subject"] is not None:
        write_json(folder / SUBJECT, facts["subject"])
    if facts["training_clip"] is not None:
        write_json(folder / MANIFEST, {"video": {"sha256": facts["training_clip"]}})
    if facts["cut"] is not None:
        write_json(folder / "work" / "clip.json", facts["cut"])
    num_frames = len(tracks["blink"])
    absent = folder / "not packed"
    return Portrait(
        folder=folder,
        width=clip["width"],
        height=clip["height"],
        focal_px=float(clip["focal_px"]),
        fps=float(clip["fps"]),
        num_frames=num_frames,
        frames=[
            PortraitFrame(int(index), absent, absent, absent, "test" if held else "train")
            for index, held in zip(tracks["frames"], tracks["held_out"], strict=True)
        ],
        background=folder / BACKGROUND,
        landmarks=landmarks,
        landmark_scheme=clip["landmark_scheme"],
        head_poses=tracks["head_poses"],
        blink=tracks["blink"],
        audio=None,
        feature_files={features["name"]: table},
        feature_identities={features["name"]: features["identity"]},
        bounds=(tuple(map(float, clip["bounds"][0])), tuple(map(float, clip["bounds"][1]))),
        audio_frames=tracks.get("audio_frames"),
        image_layout=clip["image_layout"],
    )


def _check_weights(file: PortableFile, config: PortraitPipelineConfig) -> None:
    """Compare what the settings claim with the tensors that are there, before memory is taken for it."""
    outputs = config.datamanager.dataparser.setup().get_dataparser_outputs("train")
    try:
        with torch.device("meta"):
            model = config.model.setup(
                scene_box=SceneBox(outputs.scene_box.aabb.to("meta")),
                num_train_data=1,
                metadata=outputs.metadata,
                device="meta",
                grad_scaler=None,
            )
    except Exception as error:  # Whatever PyTorch raises for sizes that cannot be.
        raise refusal(file.path, f"its settings describe no model that can be built ({error})") from error
    claimed = {f"_model.{name}": value for name, value in model.state_dict().items()}
    shapes: Mapping[str, Any] = {  # Any: shape and type.
        name: (tuple(value.shape), value.dtype) for name, value in claimed.items() if isinstance(value, torch.Tensor)
    }
    found = {name: (tuple(value.shape), value.dtype) for name, value in file.weights.items()}
    states = {name for name in claimed if name not in shapes} | {"_extra_state"}
    for name in sorted({*shapes, *found}):
        if not _fits(shapes.get(name), found.get(name)):
            raise refusal(
                file.path,
                f"its weights do not fit its settings: {name[:80]!r} should be {_said(shapes.get(name))} and is "
                f"{_said(found.get(name))}",
            )
    if states != set(file.facts["extra_state"]):
        raise refusal(file.path, f"it says {json.dumps(sorted(file.facts['extra_state']))[:200]} of its state")


def _fits(
    claimed: tuple[tuple[int, ...], torch.dtype] | None, found: tuple[tuple[int, ...], torch.dtype] | None
) -> bool:
    """Compare two shapes; a table without rows, such as a fit's supports, takes as many as its training found."""
    if claimed is None or found is None or claimed[1] != found[1] or len(claimed[0]) != len(found[0]):
        return False
    return claimed[0] == found[0] or (claimed[0][:1] == (0,) and claimed[0][1:] == found[0][1:])


def _said(shape: tuple[tuple[int, ...], torch.dtype] | None) -> str:
    return "absent" if shape is None else f"{str(shape[1]).removeprefix('torch.')} {list(shape[0])}"
