"""Our reconstruction of ER-NeRF++ begins as ER-NeRF, and moves what ER-NeRF keeps in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch

from ns_talking.fields.motion_lattice import MotionLattice, MotionLatticeConfig
from ns_talking.methods.er_nerf import ERNeRFModelConfig
from ns_talking.methods.er_nerf_pp import ERNeRFPlusPlusModel
from ns_talking.pipelines.phases import Phase, PhasesConfig
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.rendering.occupancy import OccupancyGrid

SMALL = MotionLatticeConfig(resolution=(4, 3, 4), token_dim=16, span="head")
Motion = Literal["lattice", "samples"]


@pytest.fixture
def method() -> str:
    """Tests below are about this one."""
    return "er-nerf++"


def stir(model: ERNeRFPlusPlusModel) -> None:
    """Make a fresh model move as a trained one does."""
    generator = torch.Generator().manual_seed(0)
    last = model.motion.offset[1] if isinstance(model.motion, MotionLattice) else model.motion.out
    torch.nn.init.normal_(last.weight, generator=generator)
    torch.nn.init.normal_(model.head.planes, generator=generator)


@pytest.mark.parametrize("motion", ["lattice", "samples"])
def test_before_training_its_picture_is_that_of_er_nerf(
    make_pipeline: Callable[..., PortraitPipeline], motion: Motion
) -> None:
    pipeline = make_pipeline("inference", lattice=SMALL, motion=motion)
    model = pipeline.portrait_model
    torch.nn.init.normal_(model.head.planes, generator=torch.Generator().manual_seed(0))
    pipeline.eval()
    camera = pipeline.datamanager.train_dataset.cameras[:1]
    moved = model.get_outputs_for_camera(camera)
    options = {name: value for name, value in vars(model.config).items() if hasattr(ERNeRFModelConfig(), name)}
    plain = ERNeRFModelConfig(**{**options, "_target": ERNeRFModelConfig()._target}).setup(
        scene_box=model.scene_box, num_train_data=20, metadata=model.kwargs["metadata"]
    )
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if "motion." not in name})
    still = plain.eval().get_outputs_for_camera(camera)
    assert float(still["accumulation"].max()) > 0.1
    assert set(still) == set(moved)
    assert all(torch.equal(still[name], moved[name]) for name in still)


@pytest.mark.parametrize("motion", ["lattice", "samples"])
def test_movement_has_gradients_and_costs_outside_the_face(
    make_pipeline: Callable[..., PortraitPipeline], motion: Motion
) -> None:
    pipeline = make_pipeline(lattice=SMALL, motion=motion)
    pipeline.config.phases = PhasesConfig(head=100, lips=0, torso=0)
    model = pipeline.portrait_model
    assert isinstance(model, ERNeRFPlusPlusModel)
    stir(model)
    _, losses, _ = pipeline.get_train_loss_dict(50)
    assert float(losses["shift"].detach()) > 0
    assert (float(losses["roughness"].detach()) > 0) == (motion == "lattice")
    losses["rgb"].backward()
    assert all(parameter.grad is not None for parameter in model.motion.parameters())


def test_the_face_rests_while_the_planes_find_its_mean(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline(lattice=SMALL)
    pipeline.config.phases = PhasesConfig(head=100, lips=0, torso=0)
    _, early, _ = pipeline.get_train_loss_dict(3)
    _, later, _ = pipeline.get_train_loss_dict(5)
    assert "shift" not in early
    assert "shift" in later


def test_a_trained_movement_is_rendered_whatever_the_phase(make_pipeline: Callable[..., PortraitPipeline]) -> None:
    pipeline = make_pipeline("inference", lattice=SMALL)
    model = pipeline.portrait_model
    assert isinstance(model, ERNeRFPlusPlusModel)
    stir(model)
    pipeline.eval()
    model.set_step(0, Phase("head", 0, 100))
    camera = pipeline.datamanager.train_dataset.cameras[:1]
    moved = model.get_outputs_for_camera(camera)["head_rgb"]
    assert isinstance(model.motion, MotionLattice)
    torch.nn.init.zeros_(model.motion.offset[1].weight)
    assert not torch.equal(model.get_outputs_for_camera(camera)["head_rgb"], moved)


def test_the_hull_of_the_head_restricts_the_lattice(
    make_pipeline: Callable[..., PortraitPipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hull(grid: OccupancyGrid, *_: object) -> torch.Tensor:
        found = torch.zeros_like(grid.occupied)
        found[:2, :2, :2] = True
        return found.view(-1)

    monkeypatch.setattr(OccupancyGrid, "hull", hull)
    model = make_pipeline("val", lattice=SMALL).portrait_model
    assert isinstance(model, ERNeRFPlusPlusModel) and isinstance(model.motion, MotionLattice)
    active = model.motion.active.view(SMALL.resolution)
    assert bool(active[:2, :2, :2].all())
    assert int(active.sum()) == 8
