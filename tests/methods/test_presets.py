"""What the presets for a GPU have in common."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ns_talking.data.pixel_samplers import UniformPixelSamplerConfig
from ns_talking.methods.er_nerf import PHASES, RATES, ERNeRFModelConfig
from ns_talking.methods.grid import GridPortraitModelConfig
from ns_talking.methods.presets import gpu_config
from ns_talking.methods.rad_nerf import RADNeRFModelConfig
from ns_talking.pipelines.schedules import PhaseDecayConfig
from ns_talking.rendering.occupancy import OccupancyGridConfig


@pytest.mark.parametrize("kind", [ERNeRFModelConfig, RADNeRFModelConfig])
def test_on_a_gpu_the_occupancy_is_refreshed_in_quarters(kind: type[GridPortraitModelConfig]) -> None:
    given = kind(occupancy=OccupancyGridConfig(resolution=96))
    config = gpu_config("a-method", given, RATES, PHASES, PhaseDecayConfig(), UniformPixelSamplerConfig())
    assert isinstance(config.pipeline.model, kind)
    assert config.pipeline.model.occupancy == replace(given.occupancy, update_parts=4)
    assert given.occupancy.update_parts == 1
