"""Laws of smoothing head poses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ns_talking.driving.smoothing import nearest_rotation, smooth_head_poses


def noisy_track(noise: float, num_frames: int = 60) -> np.ndarray:
    generator = np.random.default_rng(0)
    head_to_camera = np.tile(np.eye(4), (num_frames, 1, 1))
    angles = np.linspace(0, 0.4, num_frames)[:, None] * [0.2, 1.0, 0.1]
    head_to_camera[:, :3, :3] = Rotation.from_rotvec(
        angles + noise * generator.standard_normal((num_frames, 3))
    ).as_matrix()
    head_to_camera[:, :3, 3] = [0.1, 0.2, -3.3] + noise * generator.standard_normal((num_frames, 3))
    return np.linalg.inv(head_to_camera)


@pytest.mark.parametrize("sigma_s", [0.02, 0.1, 10.0])
def test_smoothing_stays_in_so3(sigma_s: float) -> None:
    smooth = smooth_head_poses(noisy_track(0.3), sigma_s)
    rotation = smooth[:, :3, :3]
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (60, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1)
    np.testing.assert_array_equal(smooth[:, 3], np.tile([0, 0, 0, 1], (60, 1)))


def test_smoothing_removes_noise_and_keeps_motion() -> None:
    clean, noisy = noisy_track(0), noisy_track(0.01)
    smooth = smooth_head_poses(noisy, 0.08)
    assert np.abs(smooth - clean).mean() < 0.6 * np.abs(noisy - clean).mean()
    np.testing.assert_allclose(smooth_head_poses(clean, 0.08)[10:-10], clean[10:-10], atol=1e-3)


def test_a_head_at_rest_and_a_width_of_zero_change_nothing() -> None:
    still = np.tile(noisy_track(0)[:1], (30, 1, 1))
    np.testing.assert_allclose(smooth_head_poses(still, 0.5), still, atol=1e-12)
    noisy = noisy_track(0.1)
    np.testing.assert_array_equal(smooth_head_poses(noisy, 0.0), noisy)
    with pytest.raises(ValueError, match="0 or more"):
        smooth_head_poses(noisy, -0.1)


def test_nearest_rotation_of_a_reflection_is_a_rotation() -> None:
    rotation = nearest_rotation(np.diag([1.0, 1.0, -1.0])[None] + 0.01)
    np.testing.assert_allclose(np.linalg.det(rotation), 1)
