"""What a dead portrait is told by; an untrained one listens and is not there yet."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from portraits import write_tiny_portrait

from ns_talking.methods.er_nerf import ERNeRFModelConfig, er_nerf
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.pipelines import health
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.rendering.occupancy import OccupancyGridConfig


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> PortraitPipeline:
    config = deepcopy(er_nerf.config.pipeline)
    config.datamanager.data = write_tiny_portrait(tmp_path_factory.mktemp("health") / "tiny", num_frames=22, size=32)
    config.datamanager.working_size = None
    config.model = ERNeRFModelConfig(
        audio_code=AudioCodeConfig(), occupancy=OccupancyGridConfig(resolution=16, update_interval=4)
    )
    pipeline = config.setup(device="cpu", test_mode="inference")
    assert isinstance(pipeline, PortraitPipeline)
    return pipeline


def test_every_finding_says_what_to_do(pipeline: PortraitPipeline) -> None:
    names = []
    for verdict in health.thorough(pipeline):
        names.append(verdict.name)
        assert (verdict.level == "pass") == (verdict.advice == "")
    assert names == ["parameters", "occupancy", "head", "audio attention", "mouth follows sound"]


@pytest.mark.parametrize(("size", "wanted"), [(96, 32), (16, 16)])
def test_pictures_are_no_larger_than_the_training_frames(
    pipeline: PortraitPipeline, monkeypatch: pytest.MonkeyPatch, size: int, wanted: int
) -> None:
    model = pipeline.portrait_model
    seen: list[tuple[int, int]] = []
    render = model.get_outputs_for_camera

    def noted(camera: Cameras) -> dict[str, torch.Tensor]:
        seen.append((int(camera.width), int(camera.height)))
        return render(camera)

    monkeypatch.setattr(model, "get_outputs_for_camera", noted)
    health.picture(pipeline, size)
    assert seen == [(wanted, wanted)]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("name", "advice"), [("torso.table", "learning rates"), ("audio_code.scale", "ns-talking doctor DATASET")]
)
def test_one_nan_among_parameters_and_buffers_is_named(
    pipeline: PortraitPipeline, name: str, wrong: float, advice: str
) -> None:
    flat = pipeline.portrait_model.state_dict()[name].view(-1)
    value = flat[0].clone()
    flat[0] = wrong
    verdict = health.parameters(pipeline)
    flat[0] = value
    assert verdict.level == "fail" and name in verdict.found and advice in verdict.advice
    assert health.parameters(pipeline).level == "pass"


def test_a_rest_that_was_never_measured_is_no_fault_and_half_a_one_is(pipeline: PortraitPipeline) -> None:
    code = pipeline.portrait_model.audio_code
    before = code.rest_audio.clone()
    code.register_buffer("rest_shape", torch.full((6,), torch.nan))
    try:
        code.rest_audio.fill_(torch.nan)
        verdict = health.parameters(pipeline)
        assert verdict.level == "pass" and "measured when it is needed" in verdict.found
        code.rest_shape.fill_(0.5)
        assert "audio_code.rest_audio" in health.parameters(pipeline).found
        code.rest_audio.fill_(0.5)
        assert health.parameters(pipeline).found == "all are finite"
        code.rest_audio.view(-1)[0] = torch.nan
        assert "audio_code.rest_audio" in health.parameters(pipeline).found
    finally:
        code.rest_audio.copy_(before)
        del code.rest_shape


@pytest.mark.parametrize(("share", "level"), [(0.0, "fail"), (0.25, "pass"), (1.0, "warn")])
def test_a_dead_or_a_full_occupancy_grid_is_found(pipeline: PortraitPipeline, share: float, level: str) -> None:
    occupied = pipeline.portrait_model.occupancy.occupied
    before = occupied.clone()
    flat = occupied.view(-1)
    flat[:] = torch.arange(len(flat)) < share * len(flat)
    verdict = health.occupancy(pipeline)
    occupied.copy_(before)
    assert verdict.level == level


def test_a_head_that_is_not_there_and_attends_to_nothing_is_found(
    pipeline: PortraitPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = {name: torch.zeros(24, 24, 1) for name in ("accumulation", "audio_attention")}
    monkeypatch.setattr(health, "_rendered", lambda *_: empty)
    assert {verdict.name: verdict.level for verdict in health.picture(pipeline)} == {
        "head": "fail",
        "audio attention": "fail",
    }


@pytest.mark.parametrize(("gain", "level"), [(0.0, "fail"), (0.2, "pass")])
def test_a_mouth_that_does_not_change_with_the_sound_is_found(
    pipeline: PortraitPipeline, monkeypatch: pytest.MonkeyPatch, gain: float, level: str
) -> None:
    def rendered(_: object, sound_of: int, pose_of: int, size: int) -> dict[str, torch.Tensor]:
        return {"rgb": torch.full((32, 32, 3), 0.5 + gain * np.sin(sound_of))}

    monkeypatch.setattr(health, "_rendered", rendered)
    assert health.mouth_follows_sound(pipeline).level == level


def test_looking_leaves_the_portrait_as_it_was(pipeline: PortraitPipeline) -> None:
    model = pipeline.portrait_model
    model.train()
    before = model.track
    health.early(pipeline)
    assert model.training and model.track is before


def test_only_what_worries_is_kept(pipeline: PortraitPipeline) -> None:
    assert all(verdict.level != "pass" for verdict in health.worrying(health.early(pipeline)))
