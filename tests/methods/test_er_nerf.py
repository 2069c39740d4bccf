"""ER-NeRF has the paper's size, learns, renders, and is driven by its audio."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import torch
from nerfstudio.data.scene_box import SceneBox

from ns_talking.export.weights import head_weights
from ns_talking.fields.triplane import TriplaneField, TriplaneFieldConfig
from ns_talking.modules.audio_encoder import AudioEncoder, AudioEncoderConfig
from ns_talking.pipelines.phases import Phase, PhasesConfig
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.rendering.occupancy import OccupancyGridConfig


@pytest.fixture
def method() -> str:
    """Tests below are about this one."""
    return "er-nerf"


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_a_head_on_29_channels_has_the_parameters_of_the_released_model() -> None:
    encoder = AudioEncoder(AudioEncoderConfig(), feature_channels=29)
    field = TriplaneField(TriplaneFieldConfig(), code_dim=32, appearance_dim=4)
    assert _count(encoder.window_encoder) == 30_720
    assert _count(encoder.temporal_attention) == 2_149
    assert field.planes.numel() == 490_752
    assert _count(encoder) + _count(field) == 547_989


def test_exported_weights_have_the_published_size(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    model = make_pipeline("inference", occupancy=OccupancyGridConfig(resolution=128)).portrait_model
    weights = head_weights(model)
    # The tiny portrait has 80 channels of mel where the paper's had 29; the first layer is exchanged for the count.
    first = "audio_code.encoder.window_encoder.convolutions.0.weight"
    weights[first] = torch.zeros(32, 29, 3)
    for name in ("audio_code.mean", "audio_code.scale", "audio_code._extra_state"):
        weights.pop(name, None)
    file = io.BytesIO()
    torch.save(weights, file)
    assert len(file.getvalue()) / 2**20 == pytest.approx(2.51, abs=0.02)


def test_features_of_another_extractor_are_refused(
    make_pipeline: Callable[..., PortraitPipeline], tiny_portrait: object
) -> None:
    pipeline = make_pipeline()
    pipeline.portrait_model.audio_code.identity = "mel-v0"
    with pytest.raises(ValueError, match="was trained with the audio features 'mel-v0'"):
        pipeline.set_audio(pipeline.portrait_model.portrait.audio)


def test_a_checkpoint_that_lacks_parameters_is_refused(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline("inference")
    state = pipeline.state_dict()
    state.pop("_model.head.planes")
    with pytest.raises(ValueError, match="missing or left over, the first is '_model.head.planes'"):
        pipeline.load_pipeline(state, 0)


@pytest.mark.parametrize("error", [FileNotFoundError, ValueError])
def test_the_lips_phase_goes_on_without_lpips_weights(
    make_pipeline: Callable[..., PortraitPipeline],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[Exception],
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise error("alexnet.pth is not to be had.")

    monkeypatch.setattr("ns_talking.metrics.lpips.find_file", missing)
    pipeline = make_pipeline()
    pipeline.config.phases = PhasesConfig(head=0, lips=10, torso=0)
    _, loss_dict, _ = pipeline.get_train_loss_dict(0)
    assert "lpips" not in loss_dict
    assert "goes on with the pixel loss alone" in " ".join(capsys.readouterr().out.split())


def test_uncertainty_and_perturbation_belong_to_the_head_phase(
    make_pipeline: Callable[..., PortraitPipeline],
) -> None:
    pipeline = make_pipeline()
    model = pipeline.portrait_model
    pipeline.config.phases = PhasesConfig(head=100, lips=100, torso=100)
    _, head, _ = pipeline.get_train_loss_dict(16)
    _, between, _ = pipeline.get_train_loss_dict(17)
    _, lips, _ = pipeline.get_train_loss_dict(112)
    assert {"uncertainty", "perturbation"} <= set(head)
    assert "perturbation" not in between
    assert not {"uncertainty", "perturbation"} & set(lips)
    assert model.phase == Phase("lips", 12, 100)


def test_the_scene_box_bounds_the_occupancy(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    model = make_pipeline("inference").portrait_model
    assert isinstance(model.scene_box, SceneBox)
    torch.testing.assert_close(model.occupancy.bounds, model.scene_box.aabb)


def test_attention_to_the_blink_is_unwanted_in_the_face_but_not_at_the_eyes(
    make_pipeline: Callable[..., PortraitPipeline],
) -> None:
    attention = torch.tensor([0.25, 0.25], requires_grad=True)
    outputs = {"eye_attention": attention, "audio_attention": torch.ones(2), "rgb": torch.zeros(2, 3)}
    batch = {"in_face": torch.ones(2, dtype=torch.bool), "in_eyes": torch.tensor([True, False]), "image": None}

    def pulls(**options: float) -> list[float]:
        model = make_pipeline("inference", attention_weight=1e-4, **options).portrait_model
        model.set_step(100, Phase("head", 100, 100))
        parts = model.head_losses(outputs, batch)
        asked = sum(value for name, value in parts.items() if name != "audio_attention")
        return torch.autograd.grad(asked, attention)[0].sign().tolist()

    assert pulls(eye_attention_weight=0.0) == [1, 1]
    assert pulls(eye_attention_weight=1e-3) == [-1, 1]
