"""SSP-NeRF: one field whose parsing tells head from torso, and a sampler that hears of its losses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ns_talking.data.class_sampler import ClassPixelSamplerConfig
from ns_talking.data.face_classes import NUM_CLASSES, FaceClass
from ns_talking.data.pixel_samplers import PixelGroup
from ns_talking.fields.mlp import MLPFieldConfig
from ns_talking.methods.ssp_nerf import SSPNeRFModel, SSPNeRFModelConfig
from ns_talking.modules.class_balance import ClassBalanceConfig
from ns_talking.pipelines.portrait import PortraitPipeline


@pytest.fixture
def method() -> str:
    return "ssp-nerf"


def model_of(pipeline: PortraitPipeline) -> SSPNeRFModel:
    model = pipeline.portrait_model
    assert isinstance(model, SSPNeRFModel)
    return model


def steps(pipeline: PortraitPipeline, numbers: range, rate: float = 5e-3) -> list[dict[str, float]]:
    parameters = [value for group in pipeline.get_param_groups().values() for value in group]
    optimizer = torch.optim.Adam(parameters, lr=rate)
    log = []
    for step in numbers:
        optimizer.zero_grad()
        _, losses, metrics = pipeline.get_train_loss_dict(step)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        log.append({name: float(value.detach()) for name, value in {**losses, **metrics}.items()})
    return log


def test_the_parsing_is_learned(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    log = steps(make_pipeline(), range(24))
    assert np.mean([entry["parsing"] for entry in log[-4:]]) < 0.6 * np.mean([entry["parsing"] for entry in log[:4]])


def test_laying_head_and_torso_apart_changes_no_pixel(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    torch.manual_seed(2)
    pipeline = make_pipeline()
    model = model_of(pipeline).eval()
    for parameter in (*model.head.parameters(), *model.parsing_head.parameters()):
        torch.nn.init.normal_(parameter, std=0.4)
    camera, _ = pipeline.datamanager.next_eval_image(0)
    outputs = model.get_outputs_for_camera(camera)
    assert float(outputs["torso_alpha"].max()) > 0.01
    assert float(outputs["accumulation"].max()) > 0.01
    assert not bool((outputs["accumulation"] * outputs["torso_alpha"]).any()), "a ray sees one of them"
    last = model.parsing_head.mlp[-1].weight.data
    last[FaceClass.SKIN] = 0
    last[[FaceClass.NECK, FaceClass.CLOTHES]] = -last.abs().max()
    whole = model.get_outputs_for_camera(camera)
    assert float(whole["torso_alpha"].max()) == 0
    torch.testing.assert_close(outputs["rgb"], whole["rgb"], atol=1e-4, rtol=0)


def test_rays_follow_the_losses_once_they_are_told_and_after_a_resume(
    make_pipeline: Callable[..., PortraitPipeline],
) -> None:
    def make() -> PortraitPipeline:
        return make_pipeline(balance=ClassBalanceConfig(warm_up=4, interval=4))

    torch.manual_seed(0)
    pipeline = make()
    budget = pipeline.datamanager.budget
    assert budget is not None
    steps(pipeline, range(4))
    assert budget.losses is None
    steps(pipeline, range(4, 6))
    assert budget.losses is not None and len(budget.losses) == NUM_CLASSES
    resumed = make()
    resumed.load_pipeline(pipeline.state_dict(), 5)
    for one in (pipeline, resumed):
        one.get_train_loss_dict(6)
    assert resumed.datamanager.budget is not None
    np.testing.assert_array_equal(resumed.datamanager.budget.losses, budget.losses)
    expected, found = (one.datamanager.next_train(7)[1] for one in (pipeline, resumed))
    assert torch.equal(found["indices"], expected["indices"])
    sampler = pipeline.datamanager.config.pixel_sampler
    by_loss = 1 - sampler.anywhere_share - sampler.edge_share
    assert by_loss > 0.3
    assert float((found["group"] == PixelGroup.CLASS).float().mean()) == pytest.approx(by_loss, abs=0.01)


def test_rays_that_a_class_has_more_of_than_area_weigh_less_and_others_alike(
    make_pipeline: Callable[..., PortraitPipeline],
) -> None:
    model = model_of(make_pipeline(area_power=1.0))
    assert float(model.class_area.sum()) == pytest.approx(1)
    model.class_area.zero_()[[FaceClass.BACKGROUND, FaceClass.LIPS]] = torch.tensor([0.9, 0.1])
    classes = torch.tensor([int(FaceClass.LIPS)] * 3 + [int(FaceClass.BACKGROUND)])
    weight = model._ray_weights(classes, torch.full((4,), int(PixelGroup.CLASS)))
    torch.testing.assert_close(weight, torch.tensor([0.1, 0.1, 0.1, 2.7]) / 0.75)
    assert float(weight[:3].sum() / weight.sum()) == pytest.approx(0.1)
    assert bool((model._ray_weights(classes, torch.full((4,), int(PixelGroup.LIPS))) == 1).all())


def test_the_parsing_takes_out_how_often_rays_show_a_class(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    model = model_of(make_pipeline())
    model.class_area.zero_()[[FaceClass.BACKGROUND, FaceClass.LIPS]] = torch.tensor([0.9, 0.1])
    classes = torch.tensor([int(FaceClass.LIPS)] * 3 + [int(FaceClass.BACKGROUND)])
    oftener = model._oftener_seen(classes, torch.tensor([1.0, 1.0, 1.0, 1.0])).exp()
    assert float(oftener[FaceClass.LIPS]) == pytest.approx(7.5)
    assert float(oftener[FaceClass.BACKGROUND]) == pytest.approx(0.25 / 0.9)


def test_nothing_keeps_a_person_clear_and_haze_beside_costs(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline(clear_weight=1.0)
    rays, batch = pipeline.datamanager.next_train(0)
    outputs = pipeline.model(rays)
    behind = batch["face_class"] == FaceClass.BACKGROUND

    def cost(opaque: torch.Tensor) -> float:
        seen = {**outputs, "accumulation": opaque[:, None].float()}
        return float(pipeline.model.get_loss_dict(seen, batch)["clear"])

    assert behind.any() and not behind.all()
    assert cost(~behind) == 0
    assert cost(behind) == pytest.approx(float(behind.float().mean()), rel=1e-5)


def test_only_a_head_through_which_the_scene_shines_costs(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline(solid_weight=1.0)
    rays, batch = pipeline.datamanager.next_train(0)
    outputs, classes = pipeline.model(rays), batch["face_class"]
    head = (classes != FaceClass.BACKGROUND) & (classes != FaceClass.NECK) & (classes != FaceClass.CLOTHES)

    def cost(opacity: torch.Tensor) -> float:
        seen = {**outputs, "accumulation": opacity[:, None].float()}
        return float(pipeline.model.get_loss_dict(seen, batch)["solid"])

    assert head.any() and not head.all()
    assert cost(head) == 0
    everywhere = torch.zeros_like(outputs["accumulation"][:, 0])
    assert cost(everywhere + 0.5) == pytest.approx(cost(everywhere) / 4, rel=1e-5)
    assert cost(~head) == cost(everywhere) > 0


def test_a_config_of_the_first_version_trains_and_parses_as_it_did() -> None:
    config = SSPNeRFModelConfig()
    newer = {"area_power": 0.0, "parsing_octaves": 0, "parsing_by_area": False}
    newer |= {"clear_weight": 0.0, "solid_weight": 0.0}
    earlier = SSPNeRFModelConfig.__new__(SSPNeRFModelConfig)
    earlier.__setstate__({name: value for name, value in vars(config).items() if name not in newer})
    assert {name: getattr(earlier, name) for name in newer} == newer
    assert all(getattr(config, name) for name in newer)


def test_the_shares_of_rays_and_losses_are_logged(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    entry = steps(make_pipeline(), range(2))[-1]
    for kind in ("ray_share", "loss_share"):
        assert sum(entry[f"{kind}_{one.name.lower()}"] for one in FaceClass) == pytest.approx(1, abs=1e-4)


def test_the_deep_network_learns_too_and_the_torso_can_be_left_where_it_is(
    make_pipeline: Callable[..., PortraitPipeline],
) -> None:
    pipeline = make_pipeline(
        representation="mlp", mlp=MLPFieldConfig(num_layers=3, geometry_dim=32), use_deformation=False
    )
    assert set(pipeline.get_param_groups()) == {"decoders", "parsing", "audio_encoder", "audio_attention"}
    log = steps(pipeline, range(20), rate=3e-3)
    assert np.mean([entry["rgb"] for entry in log[-4:]]) < 0.9 * np.mean([entry["rgb"] for entry in log[:4]])


def test_before_the_first_step_the_clothes_move_with_the_torso_and_the_head_does_not(
    make_pipeline: Callable[..., PortraitPipeline],
) -> None:
    pipeline = make_pipeline()
    model = model_of(pipeline)
    assert model.deformation is not None
    height = torch.linspace(*model.scene_box.aabb[:, 2].tolist(), 9)[1:-1]
    up = torch.stack([torch.zeros(7), torch.zeros(7), height], dim=1)
    share = model.deformation.share(up).detach()
    assert float(share[0]) > 0.8
    assert float(share[4:].max()) < 0.2


def test_data_without_classes_is_refused_with_the_option_to_set(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline()
    rays, batch = pipeline.datamanager.next_train(0)
    outputs = pipeline.model(rays)
    del batch["face_class"]
    with pytest.raises(ValueError, match="--pipeline.datamanager.face-classes True"):
        pipeline.model.get_loss_dict(outputs, batch)


def test_the_preset_draws_rays_by_class_and_has_no_phase_for_a_torso() -> None:
    from methods.conftest import specification

    config = specification("ssp-nerf").config.pipeline
    assert isinstance(config.datamanager.pixel_sampler, ClassPixelSamplerConfig)
    assert config.datamanager.face_classes and not config.phases.torso
