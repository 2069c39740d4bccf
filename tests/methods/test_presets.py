"""The preset that a command line asks for."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace

import pytest
import torch

from ns_talking.data.pixel_samplers import UniformPixelSamplerConfig
from ns_talking.methods import er_nerf
from ns_talking.methods.er_nerf import ERNeRFModelConfig
from ns_talking.methods.grid import GridPortraitModelConfig
from ns_talking.methods.presets import cpu_config, gpu_config, wants_gpu_preset
from ns_talking.methods.rad_nerf import RADNeRFModelConfig
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.pipelines.schedules import PhaseDecayConfig
from ns_talking.rendering.occupancy import OccupancyGridConfig


@pytest.mark.parametrize("gpu", [False, True])
def test_the_command_line_chooses_the_preset(monkeypatch: pytest.MonkeyPatch, gpu: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert wants_gpu_preset(["ns-train", "er-nerf", "--data", "x"]) == gpu
    assert wants_gpu_preset(["ns-train", "er-nerf", "--preset", "auto"]) == gpu
    assert wants_gpu_preset(["ns-train", "er-nerf", "--preset", "paper"])
    assert not wants_gpu_preset(["ns-train", "er-nerf", "--preset=cpu", "--data", "x"])
    # The parser of the command line refuses these, with the choices.
    assert wants_gpu_preset(["ns-train", "er-nerf", "--preset", "quick"]) == gpu
    assert wants_gpu_preset(["ns-train", "er-nerf", "--preset"]) == gpu


@pytest.mark.parametrize("kind", [ERNeRFModelConfig, RADNeRFModelConfig])
def test_on_a_gpu_the_occupancy_is_refreshed_in_quarters(kind: type[GridPortraitModelConfig]) -> None:
    given = kind(occupancy=OccupancyGridConfig(resolution=96))
    config = gpu_config(
        "a-method", given, er_nerf.RATES, er_nerf.PHASES, PhaseDecayConfig(), UniformPixelSamplerConfig()
    )
    assert isinstance(config.pipeline.model, kind)
    assert config.pipeline.model.occupancy == replace(given.occupancy, update_parts=4)
    assert given.occupancy.update_parts == 1


def test_the_papers_recipe_has_nothing_of_ours() -> None:
    config = gpu_config(
        "er-nerf",
        er_nerf.ERNeRFModelConfig(),
        er_nerf.RATES,
        er_nerf.PHASES,
        PhaseDecayConfig(),
        er_nerf.LIPS_SAMPLER,
    )
    model, datamanager = config.pipeline.model, config.pipeline.datamanager
    assert isinstance(model, er_nerf.ERNeRFModelConfig)
    assert (config.max_num_iterations, datamanager.frames_per_batch) == (225_000, 1)
    assert model.colour_loss == "squared" and model.distortion_weight == 0
    assert not (model.use_face_surface or model.audio_code.use_lip_shape or config.pipeline.train_torso_beside_head)
    assert model.pose_refinement == "off" and config.mean_share == 0
    assert (model.head.finest_resolution, model.max_samples) == (512, 16)
    ours = cpu_config("er-nerf", er_nerf.cpu_model(AudioCodeConfig()), er_nerf.RATES)
    assert set(ours.optimizers) == set(config.optimizers)


def test_a_method_imported_under_a_command_line_has_the_presets_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ns-train", "er-nerf", "--preset", "paper", "--data", "clip"])
    spec = importlib.util.spec_from_file_location("fresh_method", er_nerf.__file__)
    assert spec is not None and spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fresh_method", fresh)
    spec.loader.exec_module(fresh)
    config = fresh.er_nerf.config
    assert config.max_num_iterations == 225_000
    assert config.pipeline.model.head == er_nerf.TriplaneFieldConfig()
