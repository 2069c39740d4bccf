"""Laws of a portrait and the dataset it was trained on, and of the instant that it holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from portraits import write_tiny_portrait

from ns_talking.data.format import read_portrait
from ns_talking.data.identity import clip_identity
from ns_talking.pipelines.portrait import MOMENT, PortraitPipeline, held_frame
from ns_talking.scripts.loading import load_portrait


@pytest.fixture(scope="module")
def pipeline(trained: Path) -> PortraitPipeline:
    return load_portrait(trained)


def test_a_clip_is_the_same_wherever_it_lies_and_another_clip_is_not(trained: Path, tmp_path: Path) -> None:
    data = trained.parents[3].parent / "tiny"
    own = clip_identity(read_portrait(data))
    shutil.copytree(data, tmp_path / "moved")
    (tmp_path / "moved/features/more.npy").write_bytes(b"")
    assert clip_identity(read_portrait(tmp_path / "moved")) == own
    other = clip_identity(read_portrait(write_tiny_portrait(tmp_path / "other", num_frames=132, size=32, seed=1)))
    assert other.digest != own.digest
    assert own.summary == "132 frames at 25 frames/s, 32 x 32 px"


def test_another_clip_is_refused_and_a_copy_is_not(trained: Path, tmp_path: Path) -> None:
    write_tiny_portrait(tmp_path / "other", num_frames=132, size=32, seed=1)
    with pytest.raises(
        ValueError, match=r"was trained on another clip .* or on another tracking of it\..*Name the dat"
    ):
        load_portrait(trained, tmp_path / "other")
    shutil.copytree(trained.parents[3].parent / "tiny", tmp_path / "moved")
    assert load_portrait(trained, tmp_path / "moved").portrait_model.portrait.folder == tmp_path / "moved"


def test_training_may_start_from_another_clip_and_says_so(
    pipeline: PortraitPipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = pipeline.state_dict()
    state["_extra_state"] = {"digest": "another", "summary": "99 frames"}
    monkeypatch.setattr(pipeline, "test_mode", "val")
    pipeline.load_pipeline(state, 0)
    assert "another clip (99 frames)" in " ".join(capsys.readouterr().out.split())


def test_checkpoints_from_before_clips_were_remembered_load(pipeline: PortraitPipeline) -> None:
    state = pipeline.state_dict()
    assert state.pop("_extra_state") == pipeline.clip.as_state()
    pipeline.load_pipeline(state, 0)


def test_a_held_portrait_shows_one_instant_whatever_the_time(
    pipeline: PortraitPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MOMENT, "0.8")
    assert held_frame(pipeline.clip_track) == 20
    monkeypatch.setattr(pipeline.portrait_model, "held_frame", 20)
    cameras = pipeline.datamanager.eval_dataset.cameras
    assert pipeline.portrait_model._heard_at(cameras[3:4]).frame.tolist() == [20]
    for wrong in ("-1", "99", "soon"):
        monkeypatch.setenv(MOMENT, wrong)
        with pytest.raises(ValueError, match=f"{MOMENT}={wrong} is no instant of the clip, which lasts 5.28 s"):
            held_frame(pipeline.clip_track)
    monkeypatch.delenv(MOMENT)
    assert held_frame(pipeline.clip_track) is None


def test_depth_is_the_distance_of_what_is_seen(pipeline: PortraitPipeline) -> None:
    camera = pipeline.datamanager.eval_dataset.cameras[0:1]
    outputs = pipeline.model.get_outputs_for_camera(camera)
    solid = outputs["accumulation"] > 0.3
    if not solid.any():
        pytest.skip("nine iterations left nothing solid")
    assert torch.all((outputs["depth"][solid] > 2.2) & (outputs["depth"][solid] < 4.5))
