"""Laws of the sound that `ns-render` gets, with Nerfstudio's own functions and a portrait from real commands."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import nerfstudio.scripts.render as ns_render
import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras

from ns_talking.audio.io import read_audio, write_wav
from ns_talking.driving.camera_path import Speech, camera_path
from ns_talking.pipelines import render_hook
from ns_talking.pipelines.frames import clip_lens
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.provenance.unmarked import NO_MARK, UNMARKED
from ns_talking.provenance.verification import examine
from ns_talking.scripts.loading import load_portrait
from ns_talking.utils.files import sha256
from ns_talking.utils.video import video_info


@pytest.fixture(scope="module")
def loaded(trained: Path) -> PortraitPipeline:
    return load_portrait(trained)


@pytest.fixture
def pipeline(loaded: PortraitPipeline, monkeypatch: pytest.MonkeyPatch) -> PortraitPipeline:
    """The portrait under its own sound, painting what it would show in no time, and telling its cameras."""
    loaded.set_audio(None)
    seen: list[Cameras] = []

    def paint(camera: Cameras, obb_box: object = None) -> dict[str, torch.Tensor]:
        seen.append(camera)
        return {"rgb": torch.full((int(camera.height), int(camera.width), 3), 0.5)}

    monkeypatch.setattr(loaded.model, "get_outputs_for_camera", paint)
    monkeypatch.setattr(loaded, "seen", seen, raising=False)
    return loaded


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two seconds with a burst at 1.2 s."""
    sound = np.zeros(32_000, np.float32)
    sound[19_200:20_800] = np.random.default_rng(0).uniform(-0.9, 0.9, 1600)
    write_wav(tmp_path / "speech.wav", sound)
    return tmp_path / "speech.wav"


def render(pipeline: PortraitPipeline, cameras: Cameras, output: Path, fps: float = 25.0, **options: object) -> Path:
    ns_render._render_trajectory_video(
        pipeline, cameras, output_filename=output, rendered_output_names=["rgb"], seconds=len(cameras) / fps, **options
    )
    return output


def instants_s(pipeline: Any) -> np.ndarray:
    track = pipeline.portrait_model.track
    return np.array([float(camera.times) for camera in pipeline.seen]) * track.duration_s


def heard_s(video: Path) -> tuple[float, float]:
    heard = np.flatnonzero(np.abs(read_audio(video)) > 0.3) / 16_000
    return heard.min(), heard.max()


def still_path(pipeline: PortraitPipeline, num_frames: int, **changes: object) -> dict:
    lens = clip_lens(pipeline, None)
    path = camera_path(pipeline.clip_track, range(num_frames), lens.width, lens.height, lens.focal_px, Speech())
    return path | changes


def test_a_camera_paths_audio_drives_the_portrait_and_is_heard(pipeline, speech: Path, tmp_path: Path) -> None:
    path = still_path(pipeline, 50, audio=str(speech), start_frame=5)
    for camera in path["camera_path"]:
        del camera["render_time"]
    video = render(pipeline, ns_render.get_path_from_json(path), tmp_path / "out.mp4")
    np.testing.assert_allclose(instants_s(pipeline), np.arange(50) / 25, atol=1e-5)
    np.testing.assert_allclose(heard_s(video), (1.2, 1.3), atol=0.005)
    assert pipeline.audio == speech
    assert pipeline.portrait_model.track.source_frames[0] == 5
    info = video_info(video)
    assert (info.num_frames, info.fps) == (50, 25.0)
    finding = examine(video)
    assert finding.status == "marked" and sha256(speech) in str(finding.manifest)


def test_the_environment_leaves_the_mark_out_and_that_is_noted_beside_the_config(
    pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yml").touch()
    monkeypatch.setattr("sys.argv", ["ns-render", "camera-path", f"--load-config={tmp_path / 'config.yml'}"])
    monkeypatch.setenv(NO_MARK, "1")
    (tmp_path / "videos").mkdir()
    cameras = ns_render.get_path_from_json(still_path(pipeline, 5))
    video = render(pipeline, cameras, tmp_path / "videos" / "out.mp4")
    finding = examine(video)
    assert finding.status == "unmarked" and not finding.comment
    assert f"does not say that it is synthetic ({NO_MARK})" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / UNMARKED).read_text())["sha256"] == sha256(video)


def test_a_path_that_starts_later_is_heard_from_there(pipeline, speech: Path, tmp_path: Path) -> None:
    track = pipeline.set_audio(speech)
    lens = clip_lens(pipeline, None)
    path = camera_path(track, range(25, 50), lens.width, lens.height, lens.focal_px, Speech(speech))
    video = render(pipeline, ns_render.get_path_from_json(json.loads(json.dumps(path))), tmp_path / "out.mp4")
    np.testing.assert_allclose(instants_s(pipeline), np.arange(25, 50) / 25, atol=1e-5)
    np.testing.assert_allclose(heard_s(video), (0.2, 0.3), atol=0.005)


@pytest.mark.parametrize("with_sound", [True, False])
def test_times_that_run_at_another_speed_yield_to_sound_and_are_kept_without(
    pipeline, speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], with_sound: bool
) -> None:
    path = still_path(pipeline, 20, **({"audio": str(speech)} if with_sound else {}))
    for row, camera in enumerate(path["camera_path"]):
        camera["render_time"] = row / 20
    video = render(pipeline, ns_render.get_path_from_json(path), tmp_path / "out.mp4")
    assert "do not advance as a clock does" in " ".join(capsys.readouterr().out.split())
    assert video_info(video).has_sound == with_sound
    duration_s = pipeline.portrait_model.track.duration_s
    expected = np.arange(20) / 25 if with_sound else np.arange(20) / 20 * duration_s
    np.testing.assert_allclose(instants_s(pipeline), expected, atol=1e-5)


@pytest.mark.parametrize("frame_rate", [24, 30])
def test_a_spiral_and_interpolated_frames_take_the_environments_sound_at_its_own_speed(
    pipeline, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame_rate: int, capsys
) -> None:
    monkeypatch.setenv(render_hook.VARIABLE, str(speech))
    cameras = pipeline.datamanager.eval_dataset.cameras
    spiral = ns_render.get_spiral_path(cameras[0:1], steps=frame_rate, radius=0.1)
    between = ns_render.get_interpolated_camera_path(cameras=cameras[:4], steps=9, order_poses=False)
    for path in (spiral, between):
        pipeline.seen.clear()
        video = render(pipeline, path, tmp_path / "out.mp4", fps=frame_rate)
        np.testing.assert_allclose(instants_s(pipeline), np.arange(len(path)) / frame_rate, atol=1e-5)
        assert video_info(video).fps == frame_rate
        assert pipeline.audio == speech
        assert "which lasts 2.0 s" in " ".join(capsys.readouterr().out.split())


def test_without_other_sound_the_clips_own_is_heard_from_where_the_frames_begin(pipeline, tmp_path: Path) -> None:
    cameras = pipeline.datamanager.eval_dataset.cameras
    first_s = pipeline.datamanager.eval_dataset.frames[0].index / 25
    path = ns_render.get_interpolated_camera_path(cameras=cameras[:3], steps=4, order_poses=False)
    video = render(pipeline, path, tmp_path / "out.mp4")
    np.testing.assert_allclose(instants_s(pipeline), first_s + np.arange(8) / 25, atol=1e-4)
    own = read_audio(pipeline.portrait_model.portrait.audio, start_s=first_s, duration_s=8 / 25)
    heard = read_audio(video)[: len(own)]
    assert np.corrcoef(own, heard)[0, 1] > 0.9


def test_images_are_written_without_sound(pipeline, speech: Path, tmp_path: Path) -> None:
    path = ns_render.get_path_from_json(still_path(pipeline, 3, audio=str(speech)))
    render(pipeline, path, tmp_path / "out.mp4", output_format="images", image_format="png")
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


def test_a_background_of_the_path_is_shown(loaded: PortraitPipeline, tmp_path: Path) -> None:
    path = ns_render.get_path_from_json(still_path(loaded, 1, background="#ff0000"))
    render(loaded, path, tmp_path / "out.mp4")
    try:
        assert loaded.portrait_model.plate.flatten(2).mean(2).tolist() == [[1, 0, 0]]
    finally:
        loaded.portrait_model.set_background(None)


def test_sound_that_is_not_there_is_named(pipeline, tmp_path: Path) -> None:
    path = ns_render.get_path_from_json(still_path(pipeline, 2, audio=str(tmp_path / "gone.wav")))
    with pytest.raises(FileNotFoundError, match=r"gone.wav does not exist"):
        render(pipeline, path, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    "key", [{"audio": 3}, {"pose": "wild"}, {"start_frame": "x"}, {"background": [1]}, {"silence": "loud"}]
)
def test_odd_keys_of_a_camera_path_are_refused(key: dict) -> None:
    with pytest.raises(ValueError, match="keys audio, pose, start_frame, background and silence read"):
        Speech.of(key)


def test_rendering_the_clips_frames_refuses_the_environments_sound(pipeline, speech: Path, monkeypatch) -> None:
    monkeypatch.setenv(render_hook.VARIABLE, str(speech))
    with pytest.raises(ValueError, match=r"`ns-render dataset` renders the frames of the clip"):
        ns_render._disable_datamanager_setup(type(pipeline.datamanager))


def test_a_nerfstudio_that_renders_in_another_way_is_left_alone(
    pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = ModuleType("nerfstudio.scripts.render")
    changed.media, changed.install_checks = ns_render.media, ns_render.install_checks
    changed.get_path_from_json = ns_render.get_path_from_json
    before = dict(vars(changed))
    monkeypatch.setitem(__import__("sys").modules, changed.__name__, changed)
    render_hook.install()
    printed = " ".join(capsys.readouterr().out.split())
    assert "has no get_interpolated_camera_path, get_spiral_path, _render_trajectory_video" in printed
    assert "Use `ns-talking render --load-config" in printed
    assert vars(changed) == before


def test_other_methods_render_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def original(pipeline: object, cameras: object, seconds: float = 5.0) -> None:
        called.append((pipeline, cameras, seconds))

    module = ModuleType("another")
    render_hook._with_sound(original, module)("a pipeline", "cameras", seconds=2.0)
    assert called == [("a pipeline", "cameras", 2.0)]
