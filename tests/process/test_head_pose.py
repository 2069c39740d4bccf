from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from scipy.spatial.transform import Rotation
from videos import face_shape

from ns_talking.data.format import OUTER_EYE_DISTANCE
from ns_talking.data.landmarks import scheme
from ns_talking.process import head_pose
from ns_talking.process.bundle_adjustment import Bundle, Priors, bundle_adjust, initial_bundle, rotation_from_vector
from ns_talking.process.head_pose import HeadTrack, interpolate_poses, pose_jitter, to_world, track_head

WIDTH = HEIGHT = 512
CENTRE = (256.0, 256.0)
LAYOUT = scheme("ibug68")


def moving_head(num_frames: int = 120, focal: float = 870.0, span_deg: float = 20.0, seed: int = 0) -> Bundle:
    """A head 6 eye distances away that turns, nods, tilts and sways."""
    phase = np.linspace(0, 4 * np.pi, num_frames)
    angles = span_deg / 2 * np.stack([np.sin(1.3 * phase), np.sin(phase + 1), 0.5 * np.sin(0.7 * phase)], axis=1)
    translations = np.stack([0.2 * np.sin(phase), 0.1 * np.cos(phase), 6 + 0.2 * np.sin(0.5 * phase)], axis=1)
    rotations = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return Bundle(focal, face_shape(), rotations, translations)


def landmarks_of(head: Bundle, noise_px: float = 0.0, seed: int = 0) -> np.ndarray:
    """Project the head and add the relative depth that a detector would give."""
    camera = np.einsum("kj,fij->fki", head.shape, head.rotations) + head.translations[:, None]
    depth = (camera[..., 2:] - camera[..., 2:].mean(axis=1, keepdims=True)) * head.focal / 6
    exact = np.concatenate([head.project(CENTRE), depth], axis=-1)
    return exact + noise_px * np.random.default_rng(seed).standard_normal(exact.shape)


def expected_world(head: Bundle) -> tuple[np.ndarray, np.ndarray]:
    stable = np.arange(68)
    return to_world(head, stable, LAYOUT)


def relative_rotations(poses: np.ndarray) -> Rotation:
    return Rotation.from_matrix(poses[0, :3, :3].T @ poses[:, :3, :3])


@pytest.fixture(scope="module")
def tracked() -> tuple[Bundle, HeadTrack]:
    head = moving_head()
    return head, track_head(landmarks_of(head, 0.3), LAYOUT, WIDTH, HEIGHT, focal=head.focal)


def test_known_poses_are_recovered(tracked: tuple[Bundle, HeadTrack]) -> None:
    head, track = tracked
    poses, _ = expected_world(head)
    turn = relative_rotations(poses).inv() * relative_rotations(track.camera_to_world)
    assert np.degrees(turn.magnitude()).max() < 1.0
    assert np.median(np.degrees(turn.magnitude())) < 0.4
    distance, expected = (np.linalg.norm(p[:, :3, 3], axis=1) for p in (track.camera_to_world, poses))
    np.testing.assert_allclose(distance / distance.mean(), expected / expected.mean(), rtol=0.01)
    np.testing.assert_allclose(distance.mean(), expected.mean(), rtol=0.03)
    assert np.median(track.reprojection_px) < 0.5


def test_known_shape_is_recovered_up_to_a_rigid_motion(tracked: tuple[Bundle, HeadTrack]) -> None:
    head, track = tracked
    _, shape = expected_world(head)
    found, expected = (points - points.mean(axis=0) for points in (track.shape, shape[track.stable]))
    turn = Rotation.align_vectors(expected, found)[0]
    assert np.abs(turn.apply(found) - expected).max() < 0.03 * OUTER_EYE_DISTANCE


def test_outer_eye_corners_have_the_distance_of_the_world(tracked: tuple[Bundle, HeadTrack]) -> None:
    _, track = tracked
    right, left = (track.shape[track.stable == corner][0] for corner in (36, 45))
    assert np.linalg.norm(right - left) == pytest.approx(OUTER_EYE_DISTANCE)
    # Between the eyes lies 0.75 eye distances in front of the origin and 0.25 above it; the image's right is x.
    np.testing.assert_allclose(
        (right + left) / 2, OUTER_EYE_DISTANCE * np.array([0, -0.75, 0.25]), atol=0.02 * OUTER_EYE_DISTANCE
    )
    assert left[0] > 0 > right[0]


def test_nose_points_to_the_camera_and_the_camera_looks_at_the_head(tracked: tuple[Bundle, HeadTrack]) -> None:
    _, track = tracked
    nose = track.shape[track.stable == 30][0]
    assert nose[1] < track.shape[:, 1].mean()
    positions = track.camera_to_world[:, :3, 3]
    assert (positions[:, 1] < -2).all()
    # OpenGL cameras look along their negative z axis.
    forward = -track.camera_to_world[:, :3, 2]
    towards = -positions / np.linalg.norm(positions, axis=1, keepdims=True)
    assert np.einsum("fi,fi->f", forward, towards).min() > 0.98
    up = track.camera_to_world[:, :3, 1]
    assert up[:, 2].min() > 0.9


def test_rotations_are_rotations(tracked: tuple[Bundle, HeadTrack]) -> None:
    _, track = tracked
    rotations = track.camera_to_world[:, :3, :3]
    np.testing.assert_allclose(rotations @ np.swapaxes(rotations, 1, 2), np.tile(np.eye(3), (120, 1, 1)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)


def test_rays_of_nerfstudio_through_landmarks_meet_the_world_points() -> None:
    head = moving_head(30)
    poses, shape = expected_world(head)
    cameras = Cameras(torch.from_numpy(poses[:, :3]).float(), head.focal, head.focal, *CENTRE, WIDTH, HEIGHT)
    image = head.project(CENTRE)
    for frame in (0, 11, 29):
        coordinates = torch.from_numpy(image[frame][:, ::-1].copy()).float()
        rays = cameras.generate_rays(camera_indices=frame, coords=coordinates)
        to_point = torch.from_numpy(shape).float() - rays.origins
        along = (to_point * rays.directions).sum(-1, keepdim=True)
        assert (to_point - along * rays.directions).norm(dim=-1).max() < 2e-5
        assert (along > 0).all()


def test_soft_focal_prior_holds_where_landmarks_say_nothing() -> None:
    head = moving_head(60, focal=870.0, span_deg=1.0)
    track = track_head(landmarks_of(head, 0.5), LAYOUT, WIDTH, HEIGHT)
    assert track.focal == pytest.approx(1.7 * WIDTH, rel=0.05)
    assert set(track.focal_flatness) == {"x0.75", "x1.33"}


def test_landmarks_move_the_focal_length_from_the_prior_towards_the_truth() -> None:
    found = [
        track_head(landmarks_of(moving_head(90, focal, 60.0)), LAYOUT, WIDTH, HEIGHT).focal for focal in (700.0, 1100.0)
    ]
    assert 690 < found[0] < 840 and 920 < found[1] < 1110


def test_a_focal_length_given_is_kept() -> None:
    assert track_head(landmarks_of(moving_head(30), 0.3), LAYOUT, WIDTH, HEIGHT, focal=600.0).focal == 600.0


def test_outliers_do_not_bend_the_poses() -> None:
    head = moving_head(60)
    landmarks = landmarks_of(head, 0.2)
    landmarks[::5, 30, :2] += 40.0
    track = track_head(landmarks, LAYOUT, WIDTH, HEIGHT, focal=head.focal)
    turn = relative_rotations(expected_world(head)[0]).inv() * relative_rotations(track.camera_to_world)
    assert np.degrees(turn.magnitude()).max() < 1.5


def test_a_long_clip_is_tracked_like_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    head = moving_head()
    landmarks = landmarks_of(head, 0.3)
    landmarks[50] = np.nan
    together = track_head(landmarks, LAYOUT, WIDTH, HEIGHT)
    monkeypatch.setattr(head_pose, "_JOINT_FRAMES", 40)
    monkeypatch.setattr(head_pose, "_PLACED_FRAMES", 32)
    apart = track_head(landmarks, LAYOUT, WIDTH, HEIGHT)
    assert apart.error_px.shape == together.error_px.shape
    assert abs(np.median(apart.error_px) - np.median(together.error_px)) < 0.01
    expected, _ = expected_world(head)
    turned = (relative_rotations(apart.camera_to_world).inv() * relative_rotations(expected)).magnitude()
    assert np.degrees(np.median(turned)) < 0.4


def test_frames_without_landmarks_are_interpolated_and_marked() -> None:
    head = moving_head(60)
    landmarks = landmarks_of(head, 0.1)
    landmarks[[0, 20, 21, 59]] = np.nan
    track = track_head(landmarks, LAYOUT, WIDTH, HEIGHT, focal=head.focal)
    assert np.flatnonzero(np.isnan(track.reprojection_px)).tolist() == [0, 20, 21, 59]
    assert np.isfinite(track.camera_to_world).all() and len(track.camera_to_world) == 60
    np.testing.assert_allclose(track.camera_to_world[0], track.camera_to_world[1], atol=1e-12)
    whole = track_head(landmarks_of(head, 0.1), LAYOUT, WIDTH, HEIGHT, focal=head.focal).camera_to_world
    assert np.abs(track.camera_to_world[20:22] - whole[20:22]).max() < 0.05


def test_too_few_faces_are_an_error_that_says_what_to_do() -> None:
    landmarks = landmarks_of(moving_head(40))
    landmarks[3:] = np.nan
    with pytest.raises(ValueError, match="Only 3 of 40 frames.*--start"):
        track_head(landmarks, LAYOUT, WIDTH, HEIGHT)


def test_rotation_vectors_agree_with_scipy() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 3)) * np.geomspace(1e-9, 3, 50)[:, None]
    np.testing.assert_allclose(rotation_from_vector(vectors), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)


def test_adjustment_lowers_the_cost_and_reaches_exact_data() -> None:
    head = moving_head(40)
    observed = landmarks_of(head)
    start = initial_bundle(observed, head.focal, CENTRE)
    priors = Priors(head.focal, 0.0, start.shape, 1.0)
    fit = bundle_adjust(observed[..., :2], start, CENTRE, priors, max_iterations=60, tolerance=1e-10)
    assert fit.error_px.max() < 0.02
    assert fit.bundle.focal == head.focal


def test_interpolation_takes_the_shortest_arc() -> None:
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("z", [[170], [-170]], degrees=True).as_matrix()
    poses[:, 0, 3] = [0.0, 1.0]
    filled = interpolate_poses(poses, np.array([True, False, True]))
    turned = Rotation.from_matrix(filled[1, :3, :3]).magnitude()
    assert np.degrees(turned) == pytest.approx(180)
    assert filled[1, 0, 3] == pytest.approx(0.5)


def test_jitter_measures_white_noise_and_ignores_smooth_motion() -> None:
    head = moving_head(400, span_deg=5.0)
    poses, _ = expected_world(head)
    rotation, translation = pose_jitter(poses)
    assert rotation.max() < 0.01 and translation.max() < 1e-3
    noisy = replace(head, translations=head.translations + 0.01 * np.random.default_rng(0).standard_normal((400, 3)))
    _, translation = pose_jitter(expected_world(noisy)[0])
    np.testing.assert_allclose(translation, 0.01 * OUTER_EYE_DISTANCE, rtol=0.2)
