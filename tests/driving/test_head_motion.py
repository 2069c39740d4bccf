"""Laws of carrying one head's motion over to another."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from ns_talking.driving.head_motion import around_mean
from ns_talking.driving.track import nearest_to_mean


def cameras(seed: int, num_frames: int = 40) -> np.ndarray:
    generator = np.random.default_rng(seed)
    angles = 0.2 * np.cumsum(generator.normal(size=(num_frames, 3)), axis=0) / 5
    head_to_camera = np.tile(np.eye(4), (num_frames, 1, 1))
    head_to_camera[:, :3, :3] = Rotation.from_euler("xyz", angles + generator.normal(size=3)).as_matrix()
    head_to_camera[:, :3, 3] = (0.1, 0.2, -3.3) + 0.05 * generator.normal(size=(num_frames, 3))
    return np.linalg.inv(head_to_camera)


def test_a_clip_lends_itself_its_own_motion() -> None:
    own = cameras(0)
    np.testing.assert_allclose(around_mean(own, own), own, atol=1e-9)


def test_the_usual_pose_becomes_the_own_clips_and_motion_in_the_picture_stays() -> None:
    own, other = cameras(0), cameras(1)
    moved = around_mean(other, own)
    at = nearest_to_mean(other)
    np.testing.assert_allclose(moved[at], own[nearest_to_mean(own)], atol=1e-9)
    steps = [np.diff(np.linalg.inv(poses)[:, :3, 3], axis=0) for poses in (moved, other)]
    np.testing.assert_allclose(*steps, atol=1e-9)
    rotations = moved[:, :3, :3]
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (40, 1, 1)), atol=1e-9)
