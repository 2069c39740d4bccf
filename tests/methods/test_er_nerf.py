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
from ns_talking.pipelines.phases import Phase, PhaseName, PhasesConfig
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.rendering.occupancy import OccupancyGridConfig


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


@pytest.mark.parametrize("phase", ["head", "lips", "torso"])
def test_a_few_steps_lower_the_loss_of_every_phase(make_pipeline: Callable[..., PortraitPipeline], phase: str) -> None:
    pipeline = make_pipeline(use_lpips=False)
    lengths = {name: 1000 if name == phase else 0 for name in ("head", "lips", "torso")}
    pipeline.config.phases = PhasesConfig(**lengths)
    groups = pipeline.get_param_groups()
    optimizer = torch.optim.Adam([parameter for group in groups.values() for parameter in group], lr=5e-3)
    values = []
    for step in range(24):
        optimizer.zero_grad()
        _, loss_dict, _ = pipeline.get_train_loss_dict(step)
        loss = torch.stack(list(loss_dict.values())).sum()
        loss.backward()
        optimizer.step()
        values.append(float(loss_dict["torso_rgb" if phase == "torso" else "rgb"].detach()))
    assert sum(values[-4:]) < 0.8 * sum(values[:4])


def test_every_parameter_has_one_optimiser(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline("inference")
    grouped = [parameter for group in pipeline.get_param_groups().values() for parameter in group]
    trained = [parameter for parameter in pipeline.model.parameters() if parameter.requires_grad and parameter.numel()]
    assert len(grouped) == len({id(parameter) for parameter in grouped})
    assert {id(parameter) for parameter in grouped} == {id(parameter) for parameter in trained}


def test_the_same_step_gives_the_same_loss(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        pipeline = make_pipeline()
        _, loss_dict, _ = pipeline.get_train_loss_dict(5)
        losses.append(float(torch.stack(list(loss_dict.values())).sum().detach()))
    assert losses[0] == losses[1]


def test_a_rendered_frame_is_finite_and_has_every_layer(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline()
    pipeline.eval()
    camera, batch = pipeline.datamanager.next_eval_image(0)
    outputs = pipeline.model.get_outputs_for_camera(camera)
    assert outputs["rgb"].shape == (32, 32, 3)
    assert all(torch.isfinite(value).all() for value in outputs.values())
    metrics, images = pipeline.model.get_image_metrics_and_images(outputs, batch)
    assert set(metrics) == {"psnr", "ssim", "psnr_head", "psnr_over_real_torso"}
    assert all(isinstance(value, float) for value in metrics.values())


def test_a_ray_batch_and_a_whole_image_agree(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline()
    pipeline.eval()
    bundle, batch = pipeline.datamanager.next_eval(0)
    rays = pipeline.model(bundle)
    frame = int(batch["indices"][0, 0])
    camera, _ = pipeline.datamanager.eval_dataloader.get_camera(frame)
    image = pipeline.model.get_outputs_for_camera(camera)
    mine = batch["indices"][:, 0] == frame
    y, x = batch["indices"][mine, 1:].T
    torch.testing.assert_close(image["head_rgb"][y, x], rays["head_rgb"][mine], atol=1e-4, rtol=1e-4)


def test_other_audio_changes_the_face_and_the_clips_own_comes_back(
    make_pipeline: Callable[..., PortraitPipeline], tiny_portrait: object
) -> None:
    pipeline = make_pipeline()
    pipeline.eval()
    for parameter in pipeline.portrait_model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
    camera, _ = pipeline.datamanager.next_eval_image(0)
    own = pipeline.model.get_outputs_for_camera(camera)["head_rgb"]
    model = pipeline.portrait_model
    silent = model.track.features
    quiet = type(silent)(**{**vars(silent), "values": silent.values * 0 + silent.silence})
    model.track = type(model.track)(quiet, model.track.blink, model.track.head_poses, model.track.fps)
    assert not torch.equal(pipeline.model.get_outputs_for_camera(camera)["head_rgb"], own)
    pipeline.set_audio(None)
    assert torch.equal(pipeline.model.get_outputs_for_camera(camera)["head_rgb"], own)


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


def test_a_checkpoint_loads_with_the_safe_loader(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline("inference")
    file = io.BytesIO()
    torch.save(pipeline.state_dict(), file)
    file.seek(0)
    pipeline.load_pipeline(torch.load(file, weights_only=True), 0)


def test_the_lips_phase_goes_on_without_lpips_weights(
    make_pipeline: Callable[..., PortraitPipeline], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(self: object, device: object) -> None:
        raise FileNotFoundError("LPIPS needs AlexNet's weights.")

    monkeypatch.setattr("ns_talking.methods.base.LPIPS.__init__", missing)
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


@pytest.mark.parametrize("phase", ["head", "lips", "torso"])
def test_held_out_rays_have_a_loss_in_every_phase(
    make_pipeline: Callable[..., PortraitPipeline], phase: PhaseName
) -> None:
    pipeline = make_pipeline()
    pipeline.portrait_model.set_step(7, Phase(phase, 7, 10))
    _, loss_dict, _ = pipeline.get_eval_loss_dict(7)
    assert torch.isfinite(torch.stack(list(loss_dict.values()))).all()
    assert "uncertainty" not in loss_dict


def test_the_scene_box_bounds_the_occupancy(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    model = make_pipeline("inference").portrait_model
    assert isinstance(model.scene_box, SceneBox)
    torch.testing.assert_close(model.occupancy.bounds, model.scene_box.aabb)
