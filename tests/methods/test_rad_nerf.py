"""RAD-NeRF has the paper's size, and its own eyes and losses."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch

from ns_talking.export.weights import head_weights
from ns_talking.fields.ambient_grid import AmbientGridField, AmbientGridFieldConfig
from ns_talking.fields.base import FieldCondition
from ns_talking.methods.rad_nerf import _CPU_RATES, RADNeRFModel
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.modules.audio_encoder import AudioEncoder, AudioEncoderConfig
from ns_talking.pipelines.phases import Phase
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.rendering.occupancy import OccupancyGridConfig


@pytest.fixture
def method() -> str:
    """Tests below are about this one."""
    return "rad-nerf"


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_a_head_on_29_channels_has_the_parameters_of_the_released_model() -> None:
    encoder = AudioEncoder(AudioEncoderConfig(code_dim=64), feature_channels=29)
    field = AmbientGridField(AmbientGridFieldConfig(), code_dim=64, appearance_dim=4)
    assert _count(encoder.window_encoder) == 32_800
    assert _count(encoder.temporal_attention) == 3_685
    assert field.space.numel() == 2 * 903_480
    assert field.ambient.numel() == 2 * 555_520
    assert [_count(mlp) for mlp in (field.ambient_mlp, field.density_mlp, field.colour_mlp)] == [10_368, 12_416, 5_568]


def test_exported_weights_have_the_published_size(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    model = make_pipeline("inference", occupancy=OccupancyGridConfig(resolution=128)).portrait_model
    weights = head_weights(model)
    # The tiny portrait has 80 channels of mel where the paper's had 29; the first layer is exchanged for the count.
    weights["audio_code.encoder.window_encoder.convolutions.0.weight"] = torch.zeros(32, 29, 3)
    for name in ("audio_code.mean", "audio_code.scale", "audio_code._extra_state"):
        weights.pop(name, None)
    file = io.BytesIO()
    torch.save(weights, file)
    assert len(file.getvalue()) / 2**20 == pytest.approx(11.792, abs=0.01)


def test_sound_reaches_a_point_through_its_ambient_coordinates_alone() -> None:
    torch.manual_seed(0)
    field = AmbientGridField(AmbientGridFieldConfig(num_levels=2), code_dim=8, appearance_dim=0)
    torch.nn.init.normal_(field.ambient)
    points, row = torch.rand(5, 3) - 0.5, torch.arange(5) % 2
    said = [FieldCondition(torch.randn(2, 8), torch.zeros(2), row) for _ in range(2)]
    first, second = (field.density(points, condition) for condition in said)
    assert not torch.equal(first.density, second.density)
    assert bool((first.audio_attention > 0).all())
    with torch.no_grad():
        for parameter in field.ambient_mlp.parameters():
            parameter.zero_()
    first, second = (field.density(points, condition) for condition in said)
    assert torch.equal(first.density, second.density)
    assert float(first.audio_attention.detach().abs().max()) == 0


@pytest.mark.parametrize("from_mean_sound", [False, True])
def test_held_at_zero_the_ambient_network_goes_deaf_through_what_all_codes_share(from_mean_sound: bool) -> None:
    torch.manual_seed(0)
    num_frames, rates = 8, _CPU_RATES.networks
    config = AudioCodeConfig(
        encoder=AudioEncoderConfig(code_dim=64), use_lip_shape=True, lip_noise=0.0, from_mean_sound=from_mean_sound
    )
    audio_code = config.setup(
        feature_channels=6, identity="test", steps_per_frame=4, num_lip_points=8, num_frames=num_frames
    )
    shapes = torch.randn(audio_code.tracked.shape)
    audio_code.tracked.copy_(shapes - shapes.mean(dim=0))
    audio_code.out_of_fold.copy_(audio_code.tracked)
    field = AmbientGridField(AmbientGridFieldConfig(num_levels=2), code_dim=64, appearance_dim=0)
    sounds, frames = torch.randn(num_frames, 8, 6, 16), torch.arange(num_frames)
    if from_mean_sound:
        audio_code.set_mean_sounds(sounds.repeat(2, 1, 1, 1))
    points, row = torch.rand(64, 3) - 0.5, torch.arange(64) % num_frames
    learned = {"decoders": list(field.ambient_mlp.parameters()), **audio_code.get_param_groups()}
    groups = [{"params": parameters, "lr": 2 * rates[name]} for name, parameters in learned.items()]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15)
    for _ in range(300):
        condition = FieldCondition(audio_code(sounds, frames), torch.zeros(num_frames), row)
        optimizer.zero_grad()
        field.density(points, condition).audio_attention.mean().backward()
        optimizer.step()
    heard = torch.nn.functional.pad(audio_code(sounds, frames), (4, 0))
    firing = int((field.ambient_mlp[0](heard) > 0).any(dim=0).sum())
    assert firing > 60 if from_mean_sound else firing < 40


def test_the_eyes_are_as_large_as_in_the_clip_until_another_blink_is_asked_for(
    make_pipeline: Callable[..., PortraitPipeline],
) -> None:
    model = make_pipeline("inference").portrait_model
    assert isinstance(model, RADNeRFModel)
    condition = model.track.at_frames(torch.arange(22))
    np.testing.assert_allclose(model.eye_control(condition), model.eye_areas.measured, rtol=1e-6)
    opened = int(condition.blink.argmin())
    track = model.track
    model.track = type(track)(track.features, np.ones(22, dtype=np.float32), track.head_poses, track.fps)
    closed = model.eye_control(model.track.at_frames(torch.tensor([opened])))
    assert float(closed) < 0.3 * float(model.eye_areas.measured[opened])


def test_ambient_coordinates_cost_outside_the_lower_face_alone(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    model = make_pipeline("inference").portrait_model
    model.set_step(50, Phase("head", 50, 100))
    outputs = {"audio_attention": torch.tensor([1.0, 2.0])}
    inside = {"in_lower_face": torch.tensor([True, True])}
    assert float(model.head_losses(outputs, inside)["ambient"]) == 0
    half = {"in_lower_face": torch.tensor([True, False])}
    assert float(model.head_losses(outputs, half)["ambient"]) == pytest.approx(0.1 * 0.5 * 2.0 / 2)


def test_the_lips_phase_leaves_the_occupancy_alone(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    model = make_pipeline("val").portrait_model
    assert isinstance(model, RADNeRFModel)
    before = model.occupancy.density.clone()
    model.set_step(4, Phase("lips", 4, 10))
    model._update_occupancy(4)
    assert torch.equal(model.occupancy.density, before)
    model.set_step(4, Phase("head", 4, 10))
    model._update_occupancy(4)
    assert not torch.equal(model.occupancy.density, before)
