"""Laws of the viewer's pictures, and of the panel that leaves training alone."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras

from ns_talking.audio.io import write_wav
from ns_talking.pipelines.frames import clip_lens
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.scripts.loading import load_portrait
from ns_talking.viewer.view import Closeup, mouth_closeup, render_view


@pytest.fixture(scope="module")
def pipeline(trained: Path) -> PortraitPipeline:
    return load_portrait(trained)


@pytest.fixture
def watched(pipeline: PortraitPipeline, tmp_path: Path):
    """A page without a browser."""
    panel = pipeline.portrait_model.panel
    panel.viewer = SimpleNamespace(pipeline=pipeline, train_lock=None, _trigger_rerender=lambda: None)
    panel._controls = SimpleNamespace(
        closed=lambda: None, head=lambda: "free", background=lambda: None, wants_mouth=lambda: False
    )
    panel._driving = pipeline.driven_by()
    panel.playback = panel.playback.of(panel.driving.track.duration_s)
    yield panel
    panel._controls = None


def page_camera(pipeline: PortraitPipeline, frame: int = 0) -> Cameras:
    camera = clip_lens(pipeline, None).camera(pipeline.clip_track.head_poses[frame], 0.0)
    camera.metadata = {"cam_idx": 0}
    return camera


def test_a_window_that_is_the_clips_frame_shows_the_frame(pipeline: PortraitPipeline) -> None:
    model = pipeline.portrait_model
    camera = clip_lens(pipeline, None).camera(pipeline.clip_track.head_poses[4], 4 / 132)
    expected = model.get_outputs_for_camera(camera)
    shown = render_view(model, camera, model.track.at_frames(torch.tensor([4])))
    assert set(shown) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(shown[name], value, atol=1e-4, rtol=1e-4)


def test_a_wider_window_shows_the_frame_in_the_middle_of_darkness(pipeline: PortraitPipeline) -> None:
    model = pipeline.portrait_model
    lens = clip_lens(pipeline, None)
    pose = torch.from_numpy(pipeline.clip_track.head_poses[4][None, :3].astype(np.float32))
    wide = Cameras(pose, lens.focal_px, lens.focal_px, 32.0, 16.0, 64, 32)
    condition = model.track.at_frames(torch.tensor([4]))
    shown = render_view(model, wide, condition)["rgb"]
    expected = render_view(model, lens.camera(pipeline.clip_track.head_poses[4], 0.0), condition)["rgb"]
    torch.testing.assert_close(shown[:, 16:48], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(shown[:, :15], torch.full((32, 15, 3), 0.06))


def test_a_closeup_fills_the_window_with_its_part_of_the_frame(pipeline: PortraitPipeline) -> None:
    model = pipeline.portrait_model
    camera = clip_lens(pipeline, None).camera(pipeline.clip_track.head_poses[4], 0.0)
    condition = model.track.at_frames(torch.tensor([4]))
    whole = render_view(model, camera, condition)["rgb"]
    part = render_view(model, camera, condition, Closeup((12.0, 20.0), 8.0))["rgb"]
    coarse = torch.nn.functional.avg_pool2d(part.permute(2, 0, 1), 4).permute(1, 2, 0)
    assert float((coarse - whole[16:24, 8:16]).abs().mean()) < 0.05
    mouth = mouth_closeup(np.array([[10.0, 20.0], [20.0, 24.0]]))
    assert mouth == Closeup((15.0, 22.0), 26.0)
    assert mouth_closeup(np.array([[np.nan, 1.0]])) is None


def test_cameras_of_the_clip_and_of_other_tools_are_not_the_pages(watched, pipeline: PortraitPipeline) -> None:
    assert watched.watches(page_camera(pipeline))
    assert not watched.watches(pipeline.datamanager.eval_dataset.cameras[0:1])
    watched.viewer.render_tab_state = SimpleNamespace(preview_render=True)
    assert not watched.watches(page_camera(pipeline))


def test_what_the_page_plays_never_reaches_training(watched, pipeline: PortraitPipeline, tmp_path: Path) -> None:
    write_wav(tmp_path / "speech.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32))
    model, plate = pipeline.portrait_model, pipeline.portrait_model.plate
    watched.choose(tmp_path / "speech.wav")
    assert watched.playback.duration_s == 1.0
    watched._controls.background = lambda: (255, 0, 0)
    watched.playback.report(0.4, False)
    corner = watched.render(page_camera(pipeline))["rgb"][0, 0]
    assert watched.shown_frame == 10
    assert corner.argmax() == 0
    assert model.track is pipeline.clip_track and model.plate is plate and model.audio_code.voice is None
    with pytest.raises(FileNotFoundError, match="does not exist"):
        watched.choose(tmp_path / "gone.wav")


def test_eyes_and_head_do_as_the_page_says(watched, pipeline: PortraitPipeline, monkeypatch) -> None:
    seen = []
    model = pipeline.portrait_model
    render = model.render_rays

    def spy(rays, condition, pose, background):
        seen.append((float(condition.blink), pose.clone()))
        return render(rays, condition, pose, background)

    monkeypatch.setattr(model, "render_rays", spy)
    watched.playback.report(1.0, False)
    watched._controls.closed, watched._controls.head = (lambda: 0.75), (lambda: "clip")
    watched.render(page_camera(pipeline))
    blink, pose = seen[-1]
    assert blink == 0.75
    np.testing.assert_allclose(pose[0], pipeline.clip_track.head_poses[25][:3], atol=1e-6)
    watched._controls.head = lambda: "free"
    watched.render(page_camera(pipeline, 3))
    np.testing.assert_allclose(seen[-1][1][0], pipeline.clip_track.head_poses[3][:3], atol=1e-6)


def test_a_new_page_has_no_training_cameras_before_the_face(watched, monkeypatch) -> None:
    placed = []
    monkeypatch.setattr(watched, "start_view", placed.append)
    monkeypatch.setattr(watched, "_keep_pace", lambda client_id: None)
    viewer = watched.viewer
    viewer.camera_handles = {number: SimpleNamespace(visible=True) for number in range(3)}
    viewer.hide_images, viewer.show_images = SimpleNamespace(visible=True), SimpleNamespace(visible=False)
    client = SimpleNamespace(client_id=7)
    watched._welcome(client)
    assert placed == [client]
    assert not any(handle.visible for handle in viewer.camera_handles.values())
    assert viewer.show_images.visible and not viewer.hide_images.visible


def test_the_first_picture_is_not_interrupted_because_it_imports(watched, pipeline: PortraitPipeline) -> None:
    done = []

    class Renderer(threading.Thread):
        interrupt_render_flag = True

        def run(self) -> None:
            def interrupt(frame, event: str, argument):
                if frame.f_code.co_name == "render_view":
                    raise InterruptedError
                return interrupt

            for watched._has_rendered in (False, True):
                sys.settrace(interrupt)
                try:
                    done.append(watched.render(page_camera(pipeline))["rgb"].shape[-1])
                except Exception:  # The checks of shapes turn it into one of theirs.
                    done.append(None)
                finally:
                    sys.settrace(None)

    renderer = Renderer()
    renderer.start()
    renderer.join()
    assert done == [3, None]


def test_the_mp4_of_the_page_is_whole_or_nothing(watched, pipeline: PortraitPipeline, tmp_path: Path) -> None:
    import json

    from ns_talking.utils.video import video_info
    from ns_talking.viewer.downloads import path_as_json, video_as_mp4

    write_wav(tmp_path / "speech.wav", np.zeros(3200, np.float32))
    watched.choose(tmp_path / "speech.wav")
    stop, told = threading.Event(), []
    content = video_as_mp4(watched, True, 0.5, lambda done, total: told.append((done, total)), stop)
    (tmp_path / "talk.mp4").write_bytes(content)
    info = video_info(tmp_path / "talk.mp4")
    assert (info.num_frames, info.width, info.has_sound, told) == (5, 32, True, [(0, 5)])
    stop.set()
    assert video_as_mp4(watched, False, None, lambda *_: None, stop) is None
    path = json.loads(path_as_json(watched, True, (32, 64, 128)))
    assert path["audio"] == str(tmp_path / "speech.wav")
    assert (path["pose"], path["background"], len(path["camera_path"])) == ("still", "#204080", 5)
