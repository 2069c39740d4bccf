"""A tiny portrait and the registered methods on it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from declared import METHODS
from nerfstudio.plugins.types import MethodSpecification
from portraits import write_tiny_portrait

from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.rendering.occupancy import OccupancyGridConfig
from ns_talking.utils.registry import lookup


def specification(method: str) -> MethodSpecification:
    return lookup(METHODS, method, "methods")


@pytest.fixture(scope="session")
def tiny_portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 22 frames at 32 px."""
    return write_tiny_portrait(tmp_path_factory.mktemp("portrait") / "tiny", num_frames=22, size=32)


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    """Every method in turn, unless a test chooses."""
    return request.param


@pytest.fixture
def make_pipeline(tiny_portrait: Path, method: str) -> Callable[..., PortraitPipeline]:
    """Builds the pipeline of a registered method on the tiny portrait, small enough for a test."""

    def make(test_mode: str = "val", **model: object) -> PortraitPipeline:
        config = deepcopy(specification(method).config.pipeline)
        config.datamanager.data = tiny_portrait
        config.datamanager.working_size = None
        config.datamanager.train_num_rays_per_batch = 256
        config.datamanager.frames_per_batch = 4
        config.datamanager.seed = 0
        config.model = type(config.model)(
            **{"occupancy": OccupancyGridConfig(resolution=16, update_interval=4), **model}
        )
        pipeline = config.setup(device="cpu", test_mode=test_mode)
        assert isinstance(pipeline, PortraitPipeline)
        return pipeline

    return make
