"""Laws of driving tracks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ns_talking.audio.base import AudioFeatures
from ns_talking.driving.track import DrivingTrack, driven, mirrored_indices
from ns_talking.driving.windows import context_windows


def make_features(num_steps: int, seed: int = 0) -> AudioFeatures:
    values = np.random.default_rng(seed).standard_normal((num_steps, 3)).astype(np.float32)
    return AudioFeatures("mel", values, 100.0, 16, np.zeros(3, np.float32), "test")


def make_track(num_frames: int) -> DrivingTrack:
    poses = np.tile(np.eye(4), (num_frames, 1, 1))
    poses[:, 0, 3] = np.arange(num_frames)
    blink = np.linspace(0, 1, num_frames).astype(np.float32)
    return DrivingTrack(make_features(num_frames * 4 + 1), blink, poses)


def test_every_ray_finds_its_frame_and_every_frame_stands_once() -> None:
    track = make_track(30)
    frames = torch.tensor([7, 3, 7, 29, 0, 3])
    condition = track.at((frames / 30)[:, None].float())
    assert condition.frame.tolist() == [0, 3, 7, 29]
    assert torch.equal(condition.frame[condition.row], frames)
    assert torch.equal(condition.head_pose[condition.row][:, 0, 3].long(), frames)
    np.testing.assert_array_equal(condition.blink, track.blink[condition.frame])
    np.testing.assert_array_equal(condition.audio, context_windows(track.features, condition.frame.numpy(), 25.0))


def test_condition_is_float32_without_gradient() -> None:
    condition = make_track(9).at(torch.rand(5, 1, requires_grad=True))
    for tensor in (condition.audio, condition.blink, condition.head_pose):
        assert tensor.dtype == torch.float32
        assert not tensor.requires_grad
    assert condition.row.dtype == condition.frame.dtype == torch.int64


def test_rays_of_one_image_and_of_several_agree() -> None:
    track = make_track(30)
    one = track.at(torch.full((4, 1), 11 / 30))
    several = track.at(torch.tensor([11 / 30, 12 / 30]))
    assert one.frame.tolist() == [11]
    assert one.row.tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(one.audio[0], several.audio[0])


@pytest.mark.parametrize("hours", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_times_stored_in_single_precision_find_their_frame_over_hours(hours: int, dtype: torch.dtype) -> None:
    num_frames = hours * 3600 * 25
    poses = np.broadcast_to(np.eye(4), (num_frames, 4, 4))
    track = DrivingTrack(make_features(10), np.zeros(num_frames, np.float32), poses)
    times = torch.from_numpy(track.times()).to(dtype)
    assert torch.equal(track.frames(times), torch.arange(num_frames))


def test_times_outside_give_the_first_and_last_frame() -> None:
    assert make_track(10).frames(torch.tensor([-0.3, 0.0, 0.999, 1.0, 7.0])).tolist() == [0, 0, 9, 9, 9]


def test_frames_outside_are_an_error() -> None:
    with pytest.raises(IndexError, match=r"frames 0 .. 9, asked for 3 .. 10"):
        make_track(10).at_frames(torch.tensor([3, 10]))


def test_an_empty_batch_gives_an_empty_condition() -> None:
    condition = make_track(5).at(torch.zeros(0, 1))
    assert condition.audio.shape == (0, 8, 3, 16)
    assert len(condition.row) == 0


def test_mirrored_indices_go_forward_and_backward_without_jumps() -> None:
    assert mirrored_indices(9, 3).tolist() == [0, 1, 2, 2, 1, 0, 0, 1, 2]
    for start in range(8):
        walk = mirrored_indices(50, 4, start)
        assert np.abs(np.diff(walk)).max() == 1
        assert walk.tolist() == mirrored_indices(58, 4)[start : start + 50].tolist()
    assert mirrored_indices(3, 1).tolist() == [0, 0, 0]


def test_other_sound_borrows_poses_and_blinks_and_brings_its_own_length() -> None:
    track = make_track(20)
    other = driven(track, make_features(201, seed=1))
    assert other.num_frames == 50
    walk = mirrored_indices(50, 20)
    np.testing.assert_array_equal(other.source_frames, walk)
    np.testing.assert_array_equal(other.head_poses, track.head_poses[walk])
    np.testing.assert_array_equal(other.blink, track.blink[walk])
    np.testing.assert_array_equal(driven(other, track.features, start_frame=3).source_frames[:4], walk[3:7])


def test_the_clips_own_sound_drives_it_as_in_the_clip() -> None:
    track = make_track(20)
    times = torch.from_numpy(track.times())
    same, own = driven(track, track.features).at(times), track.at(times)
    for name in ("audio", "blink", "head_pose", "frame", "row"):
        torch.testing.assert_close(getattr(same, name), getattr(own, name))


@pytest.mark.parametrize(("start", "held"), [(None, 9), (4, 4)])
def test_still_holds_the_head_while_the_eyes_blink(start: int | None, held: int) -> None:
    track = make_track(19)
    other = driven(track, make_features(201), pose="still", start_frame=start)
    assert (other.head_poses == track.head_poses[held]).all()
    np.testing.assert_array_equal(other.blink, track.blink[mirrored_indices(50, 19, start or 0)])


def test_a_start_outside_the_clip_is_refused() -> None:
    with pytest.raises(ValueError, match=r"frames 0 .. 4, frame 5 was asked for"):
        driven(make_track(5), make_features(11), start_frame=5)


def test_tracks_of_unequal_lengths_are_refused() -> None:
    # Shapes are checked by beartype in tests, so only the empty track reaches the message.
    with pytest.raises(ValueError, match="Process the video again"):
        DrivingTrack(make_features(5), np.zeros(0, np.float32), np.zeros((0, 4, 4)))


@pytest.mark.parametrize("frames", [[3], [2, 2, 2], [0, 0, 1, 4, 4], [4, 1, 4, 0], []])
def test_every_ray_finds_its_frame_in_whatever_order_rays_come(frames: list[int]) -> None:
    condition = make_track(5).at_frames(torch.tensor(frames, dtype=torch.long))
    assert condition.frame.tolist() == sorted(set(frames))
    assert condition.frame[condition.row].tolist() == frames
