from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from videos import SOUND_HZ, discs, grey, silence, write_video

from ns_talking.audio.io import read_audio
from ns_talking.process.frames import FramesStep
from ns_talking.process.soundtrack import SoundtrackStep
from ns_talking.process.step import Progress, Workspace

Make = Callable[..., Workspace]


def ramp(num_frames: int, fps: float) -> list[np.ndarray]:
    """Pictures whose grey level is their instant divided by 4 s."""
    return [grey(k / fps / 4) for k in range(num_frames)]


def seen_instants(workspace: Workspace) -> np.ndarray:
    """Read the instants back from the frames of a dataset."""
    count = len(list(workspace.images.iterdir()))
    return np.array([workspace.read_image(k).mean() / 255 * 4 for k in range(count)])


@pytest.mark.parametrize("fps", [24.0, 25.0, 29.97, 30.0, 50.0, 60.0])
def test_frames_show_their_instant_at_any_frame_rate(
    tmp_path: Path, make_workspace: Make, quiet: Progress, fps: float
) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(round(2.4 * fps), fps), fps, sound=silence(2.4))
    workspace = make_workspace(video)
    figures = FramesStep().run(workspace, quiet)
    instants = seen_instants(workspace)
    assert abs(len(instants) - 60) <= 1 and figures["frames"] == len(instants) == workspace.clip().num_frames
    # Grey levels survive the codec to 1.5 levels of 16 ms, and the nearest stored picture is half a frame away.
    assert np.abs(instants - np.arange(len(instants)) / 25).max() < 0.5 / fps + 0.024
    assert any("resampled" in note for note in figures["notes"]) == (fps != 25.0)


def test_variable_frame_rate_causes_no_drift(tmp_path: Path, make_workspace: Make, quiet: Progress) -> None:
    instants = np.cumsum(np.random.default_rng(0).uniform(0.015, 0.06, 80))
    instants -= instants[0]
    video = write_video(
        tmp_path / "a.mkv", [grey(time / 4) for time in instants], 30, instants.tolist(), silence(instants[-1])
    )
    workspace = make_workspace(video)
    FramesStep().run(workspace, quiet)
    seen = seen_instants(workspace)
    assert np.abs(seen - np.arange(len(seen)) / 25).max() < 0.03 + 0.02
    assert abs(len(seen) / 25 - instants[-1]) < 0.1


def test_a_hole_in_the_recording_is_noted(tmp_path: Path, make_workspace: Make, quiet: Progress) -> None:
    instants = [k / 25 + (1.0 if k >= 30 else 0.0) for k in range(60)]
    video = write_video(tmp_path / "a.mkv", [grey(0.5)] * 60, 25, instants, silence(3.4))
    workspace = make_workspace(video)
    figures = FramesStep().run(workspace, quiet)
    assert figures["frames"] == 85
    assert any("holes" in note for note in figures["notes"])


@pytest.mark.parametrize("sound_start_s", [0.0, 0.08, 0.5])
@pytest.mark.parametrize("start_s", [0.0, 0.6])
def test_a_clap_is_heard_in_the_frame_that_shows_it(
    tmp_path: Path, make_workspace: Make, quiet: Progress, sound_start_s: float, start_s: float
) -> None:
    clap_s = 1.2
    pictures = [grey(0.45 if abs(k / 25 - clap_s) < 0.02 else 0.4) for k in range(60)]
    sound = silence(2.4 - sound_start_s)
    at = round((clap_s - sound_start_s) * SOUND_HZ)
    sound[at : at + 160] = 0.8
    video = write_video(tmp_path / "a.mkv", pictures, 25, sound=sound, sound_start_s=sound_start_s)
    workspace = make_workspace(video, start_s=start_s)
    FramesStep().run(workspace, quiet)
    SoundtrackStep().run(workspace, quiet)
    levels = [workspace.read_image(k).mean() for k in range(workspace.clip().num_frames)]
    heard = read_audio(workspace.audio)
    assert len(heard) == round(workspace.clip().duration_s * 16_000)
    assert np.argmax(levels) / 25 == pytest.approx(clap_s - start_s)
    assert np.argmax(np.abs(heard) > 0.4) / 16_000 == pytest.approx(clap_s - start_s, abs=0.002)


def test_pictures_that_start_after_the_sound_keep_their_sound(
    tmp_path: Path, make_workspace: Make, quiet: Progress
) -> None:
    sound = silence(2.5)
    sound[round(1.5 * SOUND_HZ) :][:160] = 0.8
    instants = [0.3 + k / 25 for k in range(55)]
    video = write_video(tmp_path / "a.mkv", [grey(0.4)] * 55, 25, instants, sound)
    workspace = make_workspace(video)
    figures = FramesStep().run(workspace, quiet)
    SoundtrackStep().run(workspace, quiet)
    assert np.argmax(np.abs(read_audio(workspace.audio)) > 0.4) / 16_000 == pytest.approx(1.2, abs=0.002)
    assert any("aligned" in note for note in figures["notes"])


def test_sound_that_ends_early_is_padded_and_noted(tmp_path: Path, make_workspace: Make, quiet: Progress) -> None:
    video = write_video(tmp_path / "a.mkv", [grey(0.4)] * 50, sound=silence(1.2))
    workspace = make_workspace(video)
    FramesStep().run(workspace, quiet)
    figures = SoundtrackStep().run(workspace, quiet)
    assert len(read_audio(workspace.audio)) == 2 * 16_000
    assert figures["padded_s"] == pytest.approx(0.8, abs=0.01) and "ends" in figures["notes"][0]


def test_a_phone_held_upright_gives_upright_frames(tmp_path: Path, make_workspace: Make, quiet: Progress) -> None:
    picture = grey(0.2, width=128, height=64)
    picture[:, :64] = [240, 20, 20]
    video = write_video(tmp_path / "a.mp4", [picture] * 40, sound=silence(1.6))
    _turn(video)
    workspace = make_workspace(video)
    figures = FramesStep().run(workspace, quiet)
    frame = workspace.read_image(0)
    assert frame.shape == (96, 48, 3) and figures["rotation_deg"] != 0
    top, bottom = frame[:40].reshape(-1, 3).mean(axis=0), frame[-40:].reshape(-1, 3).mean(axis=0)
    # The tag turns the picture clockwise by a quarter: what was left is now on top.
    assert top[0] > 200 > 100 > bottom[0]


def test_a_video_without_sound_is_refused_before_any_work(
    tmp_path: Path, make_workspace: Make, quiet: Progress
) -> None:
    workspace = make_workspace(write_video(tmp_path / "a.mp4", [grey(0.4)] * 50))
    with pytest.raises(ValueError, match="no sound track.*--allow-silent"):
        FramesStep().run(workspace, quiet)
    assert not workspace.images.exists()


def test_a_silent_video_is_taken_when_allowed(tmp_path: Path, make_workspace: Make, quiet: Progress) -> None:
    workspace = make_workspace(write_video(tmp_path / "a.mp4", [grey(0.4)] * 50), allow_silent=True)
    FramesStep().run(workspace, quiet)
    assert SoundtrackStep().run(workspace, quiet)["silent"]
    assert not read_audio(workspace.audio).any()


def test_rubbish_is_no_video(tmp_path: Path, make_workspace: Make, quiet: Progress) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(bytes(range(256)) * 50)
    with pytest.raises(ValueError, match="cannot be read as sound or video"):
        FramesStep().run(make_workspace(path), quiet)


def test_a_truncated_video_is_refused_with_the_readable_part(
    tmp_path: Path, make_workspace: Make, quiet: Progress
) -> None:
    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 40, (96, 96, 3), dtype=np.uint8) for _ in range(150)]
    path = write_video(tmp_path / "a.mp4", pictures, sound=silence(6))
    content = path.read_bytes()
    # The index stays readable, most of the pictures are overwritten.
    first = content.index(b"mdat")
    index = content.index(b"moov")
    assert first < index
    cut = first + (index - first) // 4
    path.write_bytes(content[:cut] + bytes(index - 4 - cut) + content[index - 4 :])
    with pytest.raises(ValueError, match="damaged.*--max-seconds|can be decoded"):
        FramesStep().run(make_workspace(path), quiet)


def test_a_cut_is_refused_with_its_instant_and_the_longest_shot(
    tmp_path: Path, make_workspace: Make, quiet: Progress
) -> None:
    pictures = [discs((48, 48, 20))] * 30 + [discs((48, 48, 20), background=(200, 200, 220))] * 60
    workspace = make_workspace(write_video(tmp_path / "a.mp4", pictures, sound=silence(3.6)))
    with pytest.raises(ValueError, match=r"cut at 1\.20 s;.*--start 1\.20 --max-seconds 2\.3[89]"):
        FramesStep().run(workspace, quiet)
    assert not workspace.images.exists()
    advised = make_workspace(workspace.video, start_s=1.2, max_seconds=2.39)
    assert FramesStep().run(advised, quiet)["frames"] == 60


def test_a_flash_and_a_moving_head_are_no_cuts(tmp_path: Path, make_workspace: Make, quiet: Progress) -> None:
    pictures = [discs((48 + 20 * np.sin(k / 4), 48, 20)) for k in range(75)]
    pictures[40] = grey(1.0)
    workspace = make_workspace(write_video(tmp_path / "a.mp4", pictures, sound=silence(3)))
    assert FramesStep().run(workspace, quiet)["frames"] == 75


def test_start_and_length_choose_a_part(tmp_path: Path, make_workspace: Make, quiet: Progress) -> None:
    workspace = make_workspace(
        write_video(tmp_path / "a.mp4", ramp(100, 25), sound=silence(4)), start_s=1.0, max_seconds=2.0
    )
    FramesStep().run(workspace, quiet)
    assert np.abs(seen_instants(workspace) - (1 + np.arange(50) / 25)).max() < 0.03
    assert workspace.clip().start_s == pytest.approx(1.0)


def test_a_start_behind_the_end_and_a_clip_too_short_are_refused(
    tmp_path: Path, make_workspace: Make, quiet: Progress
) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(50, 25), sound=silence(2))
    with pytest.raises(ValueError, match="--start 5 lies behind the end"):
        FramesStep().run(make_workspace(video, start_s=5.0), quiet)
    with pytest.raises(ValueError, match="only 12 frames"):
        FramesStep().run(make_workspace(video, max_seconds=0.5), quiet)


def test_the_head_is_cut_out_of_a_wide_picture(tmp_path: Path, make_workspace: Make, quiet: Progress) -> None:
    pictures = [discs((230 + 8 * np.sin(k / 5), 90, 22), width=320, height=180) for k in range(50)]
    workspace = make_workspace(write_video(tmp_path / "a.mp4", pictures, sound=silence(2)), crop="auto")
    FramesStep().run(workspace, quiet)
    x0, y0, x1, y1 = workspace.clip().crop
    assert x1 - x0 == y1 - y0
    assert min(x0, y0) >= 0 and x1 <= 320 and y1 <= 180
    assert x0 < 200 and x1 > 260 and y0 < 65
    frame = workspace.read_image(0)
    assert frame.shape == (96, 96, 3)
    red = np.argwhere((frame[..., 0] > 150) & (frame[..., 1] < 90))
    assert 25 < red.mean(axis=0)[1] < 75


def test_a_wide_picture_without_a_face_is_refused(tmp_path: Path, make_workspace: Make, quiet: Progress) -> None:
    pictures = [discs(width=160, height=90)] * 40
    workspace = make_workspace(write_video(tmp_path / "a.mp4", pictures, sound=silence(1.6)), crop="head")
    with pytest.raises(ValueError, match="shows a face.*--crop none"):
        FramesStep().run(workspace, quiet)


def test_what_was_found_is_written_down(tmp_path: Path, make_workspace: Make, quiet: Progress) -> None:
    workspace = make_workspace(write_video(tmp_path / "a.mp4", ramp(60, 30), 30, sound=silence(2)))
    FramesStep().run(workspace, quiet)
    assert json.loads(workspace.work("clip.json").read_text())["fps"] == 25
    assert workspace.clip().source_size == (96, 96)
    assert workspace.clip().source_fps == pytest.approx(30)


def _turn(video: Path) -> None:
    """Tag the pictures of an mp4 as filmed with the phone upright: the matrix of the track header says so."""
    content = bytearray(video.read_bytes())
    straight = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    turned = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 64 << 16, 0, 0x40000000)
    at = content.index(straight, content.index(b"tkhd"))
    content[at : at + len(straight)] = turned
    video.write_bytes(bytes(content))
