"""What every registered method has to do: learn, render, be driven by its audio, and say what it optimises."""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Callable

import pytest
import torch
from declared import METHODS
from methods.conftest import head_parameters, specification

from ns_talking.methods import grid
from ns_talking.pipelines.phases import Phase, PhaseName, PhasesConfig
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.rendering import volume


@pytest.mark.parametrize("phase", ["head", "lips", "torso"])
def test_a_few_steps_lower_the_loss_of_every_phase(make_pipeline: Callable[..., PortraitPipeline], phase: str) -> None:
    torch.manual_seed(0)
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
        of_torso = phase == "torso" and pipeline.portrait_model.torso is not None
        values.append(float(loss_dict["torso_rgb" if of_torso else "rgb"].detach()))
    assert sum(values[-4:]) < 0.8 * sum(values[:4])


def test_a_torso_beside_the_head_learns_in_the_heads_phase_and_changes_nothing_else(
    make_pipeline: Callable[..., PortraitPipeline],
) -> None:
    pipeline = make_pipeline(use_lpips=False)
    if pipeline.portrait_model.torso is None:
        pytest.skip("one field shows head and torso, so there is nothing beside the head")
    pipeline.config.phases = PhasesConfig(head=100, lips=0, torso=10)
    pipeline.config.train_torso_beside_head = False
    _, alone, _ = pipeline.get_train_loss_dict(5)
    pipeline.config.train_torso_beside_head = True
    _, both, _ = pipeline.get_train_loss_dict(5)
    assert set(both) > set(alone)
    assert "torso_rgb" in both
    torch.testing.assert_close({name: both[name] for name in alone}, alone)
    assert pipeline.portrait_model.phase.name == "head"
    torch.stack(list(both.values())).sum().backward()
    assert pipeline.portrait_model.torso.table.grad is not None
    _, finishing, _ = pipeline.get_train_loss_dict(105)
    assert set(finishing) == set(both) - set(alone)


def test_every_group_of_parameters_has_its_optimiser(
    make_pipeline: Callable[..., PortraitPipeline], method: str
) -> None:
    configured = specification(method).config.optimizers
    assert set(make_pipeline("inference").get_param_groups()) <= set(configured)
    assert all(set(group) == {"optimizer", "scheduler"} for group in configured.values())


def test_the_preset_for_a_gpu_has_the_groups_and_the_name_of_the_one_without(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, attribute = METHODS[method].split(":")
    found = importlib.util.find_spec(module)
    assert found is not None and found.origin is not None
    alias = importlib.util.spec_from_file_location("with_a_gpu", found.origin)
    assert alias is not None and alias.loader is not None
    fresh = importlib.util.module_from_spec(alias)
    monkeypatch.setitem(sys.modules, "with_a_gpu", fresh)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    alias.loader.exec_module(fresh)
    ours, theirs = specification(method).config, getattr(fresh, attribute).config
    assert (theirs.machine.device_type, theirs.method_name) == ("cuda", method)
    assert set(theirs.optimizers) == set(ours.optimizers)
    assert theirs.max_num_iterations > 10 * ours.max_num_iterations


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


def test_a_fused_picture_is_the_picture(
    make_pipeline: Callable[..., PortraitPipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a method is more than a tri-plane, which the fused renderer must leave alone."""
    pipeline = make_pipeline()
    model = pipeline.portrait_model.eval()
    torch.manual_seed(0)
    for parameter in head_parameters(pipeline):
        torch.nn.init.normal_(parameter, std=0.2)
    camera, _ = pipeline.datamanager.next_eval_image(0)
    expected = model.get_outputs_for_camera(camera)
    monkeypatch.setattr(grid, "renders_fused", lambda *_: True)
    actual = model.get_outputs_for_camera(camera)
    assert float(expected["head_rgb"].std()) > 0.01
    for name, wanted in expected.items():
        torch.testing.assert_close(actual[name], wanted, atol=2e-4 * float(wanted.abs().max()), rtol=0)


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
    for parameter in head_parameters(pipeline):
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


@pytest.mark.parametrize("phase", ["head", "lips", "torso"])
def test_held_out_rays_have_a_loss_in_every_phase(
    make_pipeline: Callable[..., PortraitPipeline], phase: PhaseName
) -> None:
    pipeline = make_pipeline()
    pipeline.portrait_model.set_step(7, Phase(phase, 7, 10))
    _, loss_dict, _ = pipeline.get_eval_loss_dict(7)
    assert torch.isfinite(torch.stack(list(loss_dict.values()))).all()
    assert "uncertainty" not in loss_dict


def test_a_checkpoint_loads_with_the_safe_loader(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline("inference")
    file = io.BytesIO()
    torch.save(pipeline.state_dict(), file)
    file.seek(0)
    pipeline.load_pipeline(torch.load(file, weights_only=True), 0)


GRID_METHODS = [
    name for name in METHODS if isinstance(specification(name).config.pipeline.model, grid.GridPortraitModelConfig)
]


@pytest.mark.parametrize("method", GRID_METHODS)
def test_refined_poses_learn_and_only_training_sees_them(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline(pose_refinement="SO3xR3", use_lpips=False)
    pipeline.config.phases = PhasesConfig(head=100, lips=0, torso=0)
    model = pipeline.portrait_model
    assert isinstance(model, grid.GridPortraitModel)
    groups = pipeline.get_param_groups()
    [adjustment] = groups["camera_opt"]
    # What a fresh field holds is the same everywhere.
    torch.nn.init.normal_(next(iter(groups.values()))[0], generator=torch.Generator().manual_seed(0))
    _, loss_dict, metrics = pipeline.get_train_loss_dict(50)
    loss_dict["rgb"].backward()
    assert adjustment.grad is not None and float(adjustment.grad.abs().max()) > 0
    seen = int((adjustment.grad.abs().sum(dim=1) > 0).sum())
    assert seen <= pipeline.datamanager.config.frames_per_batch
    assert {"camera_opt_regularizer"} <= set(loss_dict) and "camera_opt_rotation_mean" in metrics
    camera = pipeline.datamanager.train_dataset.cameras[:1]
    pipeline.eval()
    before = model.get_outputs_for_camera(camera)["rgb"]
    with torch.no_grad():
        adjustment += 0.1
    torch.testing.assert_close(model.get_outputs_for_camera(camera)["rgb"], before)


@pytest.mark.parametrize(
    ("method", "options"), [*((name, {}) for name in GRID_METHODS), ("er-nerf++", {"motion": "samples"})]
)
def test_halves_of_the_samples_teach_everything_that_the_whole_teaches(
    make_pipeline: Callable[..., PortraitPipeline], options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for work in (lambda function, rows, shared, *_: function(*rows, *shared), volume.in_halves):
        monkeypatch.setattr(volume, "in_halves", work)
        torch.manual_seed(0)
        pipeline = make_pipeline(pose_refinement="SO3xR3", use_lpips=False, **options)
        pipeline.config.phases = PhasesConfig(head=100, lips=0, torso=0)
        stir(pipeline)
        _, loss_dict, _ = pipeline.get_train_loss_dict(80)
        torch.stack(list(loss_dict.values())).sum().backward()
        found.append({name: entry.grad for name, entry in pipeline.model.named_parameters()})
    whole, halves = found
    assert sum(grad is not None and bool(grad.any()) for grad in whole.values()) > 10
    for name, wanted in whole.items():
        grad = halves[name]
        assert (grad is None) == (wanted is None), name
        if wanted is not None and grad is not None:
            torch.testing.assert_close(grad, wanted, atol=1e-3 * float(wanted.abs().max()), rtol=1e-3, msg=name)


def stir(pipeline: PortraitPipeline) -> None:
    """Let every parameter matter: some begin at zero."""
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in pipeline.model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=chance)


@pytest.mark.parametrize("kind", ["absolute", "charbonnier"])
def test_the_colour_loss_is_a_choice(make_pipeline: Callable[..., PortraitPipeline], kind: str) -> None:
    found = []
    for option in ("squared", kind):
        pipeline = make_pipeline(use_lpips=False, colour_loss=option)
        pipeline.config.phases = PhasesConfig(head=100, lips=0, torso=0)
        found.append(float(pipeline.get_train_loss_dict(5)[1]["rgb"].detach()))
    assert found[0] != pytest.approx(found[1], rel=1e-3)
