"""A tiny portrait, two tiny people, and the registered methods on them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from declared import METHODS
from nerfstudio.plugins.types import MethodSpecification
from portraits import write_tiny_portrait

from ns_talking.dataparsers.identities import IdentitiesDataParserConfig
from ns_talking.fields.torso_deformation import TorsoDeformationConfig
from ns_talking.methods.few_shot import FewShotModelConfig
from ns_talking.methods.few_shot_presets import small
from ns_talking.methods.ssp_nerf import SSPNeRFModelConfig
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.rendering.occupancy import OccupancyGridConfig
from ns_talking.utils.registry import lookup


def specification(method: str) -> MethodSpecification:
    return lookup(METHODS, method, "methods")


@pytest.fixture(scope="session")
def tiny_portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 22 frames at 32 px."""
    return write_tiny_portrait(tmp_path_factory.mktemp("portrait") / "tiny", num_frames=22, size=32)


@pytest.fixture(scope="session")
def tiny_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets of two people; the first is the tiny portrait."""
    folder = tmp_path_factory.mktemp("people")
    for seed, name in enumerate(("ada", "ben")):
        write_tiny_portrait(folder / name, num_frames=22, size=32, seed=seed)
    return folder


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    """Every method in turn, unless a test chooses."""
    return request.param


@pytest.fixture
def make_pipeline(tiny_portrait: Path, tiny_people: Path, method: str) -> Callable[..., PortraitPipeline]:
    """Builds the pipeline of a registered method on the tiny portrait, small enough for a test."""

    def make(test_mode: str = "val", **model: object) -> PortraitPipeline:
        config = deepcopy(specification(method).config.pipeline)
        several = isinstance(config.datamanager.dataparser, IdentitiesDataParserConfig)
        config.datamanager.data = tiny_people if several else tiny_portrait
        config.datamanager.working_size = None
        config.datamanager.train_num_rays_per_batch = 128
        config.datamanager.torso_num_rays_per_batch = 128
        config.datamanager.frames_per_batch = 4
        config.datamanager.seed = 0
        options = {"occupancy": OccupancyGridConfig(resolution=16, update_interval=4), **model}
        if isinstance(config.model, SSPNeRFModelConfig):
            options = {"deformation": TorsoDeformationConfig(share_steps=20), **options}
        if isinstance(config.model, FewShotModelConfig):
            sizes = replace(small(type(config.model)()), coarse_samples=6, fine_samples=6)
            config.model = replace(sizes, **options)
        else:
            config.model = type(config.model)(**options)
        pipeline = config.setup(device="cpu", test_mode=test_mode)
        assert isinstance(pipeline, PortraitPipeline)
        return pipeline

    return make


def head_parameters(pipeline: PortraitPipeline) -> list[torch.nn.Parameter]:
    """What draws the head, without what listens and without the torso."""
    others = {"audio_encoder", "audio_attention", "lip_code", "torso", "torso_grid"}
    groups = pipeline.portrait_model.get_param_groups()
    return [parameter for name, group in groups.items() if name not in others for parameter in group]
