"""A tiny portrait and an ER-NeRF on it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from portraits import write_tiny_portrait

from ns_talking.methods.er_nerf import ERNeRFModelConfig, er_nerf
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.rendering.occupancy import OccupancyGridConfig


@pytest.fixture(scope="session")
def tiny_portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 22 frames at 32 px."""
    return write_tiny_portrait(tmp_path_factory.mktemp("portrait") / "tiny", num_frames=22, size=32)


@pytest.fixture
def make_pipeline(tiny_portrait: Path) -> Callable[..., PortraitPipeline]:
    """Builds the pipeline of the registered method on the tiny portrait, small enough for a test."""

    def make(test_mode: str = "val", **model: object) -> PortraitPipeline:
        config = deepcopy(er_nerf.config.pipeline)
        config.datamanager.data = tiny_portrait
        config.datamanager.working_size = None
        config.datamanager.train_num_rays_per_batch = 256
        config.datamanager.frames_per_batch = 4
        config.datamanager.seed = 0
        options = {
            "audio_code": AudioCodeConfig(),
            "occupancy": OccupancyGridConfig(resolution=16, update_interval=4),
        } | model
        config.model = ERNeRFModelConfig(**options)  # type: ignore[arg-type] # Checked by the dataclass's users.
        pipeline = config.setup(device="cpu", test_mode=test_mode)
        assert isinstance(pipeline, PortraitPipeline)
        return pipeline

    return make
