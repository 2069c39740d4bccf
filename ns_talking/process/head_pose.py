"""Head pose: where the camera is in the head's frame, by bundle adjustment of the landmarks that sit on the skull.

No morphable model is needed: the shape is the person's own. Landmarks that expressions move are left out by anatomy
first, and then those that a first fit finds restless. The focal length is only weakly observable from a turning head,
so a soft prior at 1.7 image widths settles it unless the user knows it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation, Slerp

from ns_talking.data.format import OUTER_EYE_DISTANCE
from ns_talking.data.landmarks import LandmarkScheme, scheme
from ns_talking.process.bundle_adjustment import Adjustment, Bundle, Priors, bundle_adjust, initial_bundle, placed
from ns_talking.process.landmarks import LANDMARKS
from ns_talking.process.step import ProcessSettings, Progress, Workspace
from ns_talking.utils.files import atomic_path
from ns_talking.utils.mapped import measured, release
from ns_talking.utils.registry import lookup

FOCAL_IN_WIDTHS = 1.7
FOCAL_LOG_SIGMA = 0.15
SHAPE_SIGMA_CM = 0.35
_OUTER_EYE_CM = 8.9
_PASS_FRAMES = 300
"""Frames, evenly spread, from which the restless landmarks are found."""
_JOINT_FRAMES = 3000
"""Frames, evenly spread, that decide focal length and shape together: two minutes. Those of a longer clip are only
placed; shape and focal length gain nothing from more, and what is solved for them grows with the frames."""
_PLACED_FRAMES = 512
_RESTLESS = 1.5
"""A landmark is restless when its median error exceeds the median landmark's by this factor."""
_MIN_FRAMES = 10


@dataclass(frozen=True)
class HeadTrack:
    """Poses of a head over a clip, in the world of the dataset."""

    focal: float
    """Focal length in px."""
    camera_to_world: Float[np.ndarray, "frames 4 4"]
    """OpenGL axes; interpolated over frames without landmarks."""
    shape: Float[np.ndarray, "points 3"]
    """Stable landmarks in world coordinates."""
    stable: Int[np.ndarray, " points"]
    """Which landmarks they are."""
    reprojection_px: Float[np.ndarray, " frames"]
    """Median error of each frame; NaN where it has no landmarks."""
    error_px: Float[np.ndarray, "tracked points"]
    """Error of every stable landmark in every frame that has them."""
    focal_flatness: dict[str, float]
    """Cost relative to the best when the focal length is forced to these multiples of the best, e.g. "x0.75"."""


class HeadPoseStep:
    """Track the head: `head_poses.npy`, and the details in `work/head_pose.npz`."""

    name = "head_pose"
    needs: tuple[str, ...] = ("frames", "landmarks")
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """List what the step writes."""
        return [workspace.head_poses, workspace.work("head_pose.npz")]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Name the settings that matter."""
        return {"focal": settings.focal}

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Fit focal length, shape and poses to the landmarks."""
        clip, settings = workspace.clip(), workspace.settings
        landmarks = np.load(workspace.landmarks, mmap_mode="r", allow_pickle=False)
        layout = scheme(lookup(LANDMARKS, settings.landmarks, "landmark detectors").scheme)
        with progress("Tracking the head", total=4, unit="fits") as advance:
            track = track_head(landmarks, layout, clip.width, clip.height, settings.focal, advance)
        with atomic_path(workspace.head_poses) as temporary:
            np.save(temporary, track.camera_to_world)
        with atomic_path(workspace.work("head_pose.npz")) as temporary:
            np.savez(
                temporary,
                focal=track.focal,
                reprojection_px=track.reprojection_px,
                shape=track.shape,
                stable=track.stable,
                point_error_px=np.median(track.error_px, axis=0),
            )
        rotation_jitter, translation_jitter = pose_jitter(track.camera_to_world)
        return {
            "focal_px": round(track.focal, 2),
            "focal_in_widths": round(track.focal / clip.width, 3),
            "focal_fixed": settings.focal is not None,
            "focal_flatness": {name: round(value, 4) for name, value in track.focal_flatness.items()},
            "reprojection_median_px": round(float(np.median(track.error_px)), 4),
            "reprojection_mean_px": round(float(track.error_px.mean()), 4),
            "reprojection_p95_px": round(float(np.percentile(track.error_px, 95)), 4),
            "stable_landmarks": len(track.stable),
            "jitter_rotation_deg": [round(float(value), 4) for value in rotation_jitter],
            "jitter_translation": [round(float(value), 5) for value in translation_jitter],
            "tracked_frames": int(np.isfinite(track.reprojection_px).sum()),
        }


def track_head(
    landmarks: Float[np.ndarray, "frames points 3"],
    layout: LandmarkScheme,
    width: int,
    height: int,
    focal: float | None = None,
    advance: Any = lambda: None,  # Any: a callback without result.
) -> HeadTrack:
    """Track a head through a clip.

    Args:
        landmarks: x, y in px and relative depth; NaN rows are interpolated over.
        layout: Scheme of the landmarks.
        width: Width of the frames in px; the principal point is the centre.
        height: Height of the frames in px.
        focal: Focal length in px, to be kept; None estimates it.
        advance: Called after each of four fits.

    Raises:
        ValueError: When too few frames have landmarks.
    """
    usable = measured(landmarks, lambda part: np.isfinite(part).all(axis=(1, 2)))
    if usable.sum() < _MIN_FRAMES:
        raise ValueError(
            f"Only {usable.sum()} of {len(landmarks)} frames show a face, too few to track a head "
            f"({_MIN_FRAMES} are needed). Choose another part of the video with --start and --max-seconds."
        )
    frames, centre = np.flatnonzero(usable), (width / 2, height / 2)
    sample = _spread(len(frames), _PASS_FRAMES)
    looked_at = landmarks[frames[sample]].astype(np.float64)
    candidates = rigid_candidates(looked_at, layout)
    first, _ = _fit(looked_at[:, candidates], candidates, layout, centre, width, focal)
    advance()
    keep = _restful(first.error_px, candidates, layout)
    stable = candidates[keep]
    joint = landmarks[frames[_spread(len(frames), _JOINT_FRAMES)]][:, stable].astype(np.float64)
    result, priors = _fit(joint, stable, layout, centre, width, focal)
    if len(frames) > len(joint):
        result = _posed(landmarks, frames, stable, result.bundle, centre)
    advance()
    flatness = {}
    for factor in (0.75, 4 / 3):
        forced = replace(priors, focal=result.bundle.focal * factor, focal_log_sigma=0.0)
        start = _refocus(_subset(result.bundle, sample), factor)
        other = bundle_adjust(looked_at[:, stable, :2], start, centre, forced, max_iterations=15)
        flatness[f"x{factor:.2f}"] = float(_data_cost(other.error_px) / _data_cost(result.error_px[sample]))
        advance()
    camera_to_world, shape = to_world(result.bundle, stable, layout)
    reprojection = np.full(len(landmarks), np.nan)
    reprojection[usable] = np.median(result.error_px, axis=1)
    return HeadTrack(
        focal=result.bundle.focal,
        camera_to_world=interpolate_poses(camera_to_world, usable),
        shape=shape,
        stable=stable,
        reprojection_px=reprojection,
        error_px=result.error_px,
        focal_flatness=flatness,
    )


def rigid_candidates(
    landmarks: Float[np.ndarray, "frames points 3"], layout: LandmarkScheme
) -> Int[np.ndarray, " candidates"]:
    """List the landmarks that sit on the skull by anatomy: not movable, and not below the base of the nose.

    "Below" is measured along the line from between the eyes to the base of the nose, so that a tilted head is no
    exception.
    """
    mean = landmarks.mean(axis=0)
    eyes = (mean[layout.right_eye[0]] + mean[layout.left_eye[3]]) / 2
    nose = mean[layout.ibug68[33]]
    down = (nose - eyes)[:2]
    below = (mean[:, :2] - nose[:2]) @ down > 1e-6
    allowed = np.ones(layout.num_points, dtype=bool)
    allowed[layout.movable] = False
    allowed &= ~below
    allowed[list(_eye_corners(layout))] = True
    return np.flatnonzero(allowed)


def to_world(
    bundle: Bundle, stable: Int[np.ndarray, " points"], layout: LandmarkScheme
) -> tuple[Float[np.ndarray, "frames 4 4"], Float[np.ndarray, "points 3"]]:
    """Carry a bundle into the world of the dataset.

    World: x is the image's right at the mean pose, y points to the back of the head, z up. The origin lies between the
    outer eye corners, moved by 0.75 of their distance back and 0.25 down; their distance is `OUTER_EYE_DISTANCE`.

    Returns:
        Camera-to-world matrices with OpenGL axes; the shape.
    """
    right, left = (bundle.shape[np.flatnonzero(stable == corner)[0]] for corner in _eye_corners(layout))
    distance = float(np.linalg.norm(right - left))
    scale = OUTER_EYE_DISTANCE / distance
    mean = Rotation.from_matrix(bundle.rotations).mean().as_matrix()
    # Rows of the mean rotation are the camera's x (right), y (down) and z (forward, to the back) in the head's frame.
    axes = np.stack([mean[0], mean[2], -mean[1]])
    origin = (right + left) / 2 + distance * (0.75 * axes[1] - 0.25 * axes[2])
    camera_to_world = np.tile(np.eye(4), (len(bundle.rotations), 1, 1))
    camera_rotations = axes @ np.swapaxes(bundle.rotations, 1, 2)
    moved = bundle.rotations @ origin + bundle.translations
    camera_to_world[:, :3, 3] = -scale * np.einsum("fij,fj->fi", camera_rotations, moved)
    camera_to_world[:, :3, :3] = camera_rotations * np.array([1.0, -1.0, -1.0])
    return camera_to_world, scale * (bundle.shape - origin) @ axes.T


def interpolate_poses(
    poses: Float[np.ndarray, "tracked 4 4"], usable: Bool[np.ndarray, " frames"]
) -> Float[np.ndarray, "frames 4 4"]:
    """Fill frames without a pose from their neighbours: rotation on the shortest arc, translation on a line.

    Args:
        poses: Poses of the usable frames.
        usable: Which frames they belong to; frames before the first and after the last keep its pose.
    """
    if len(poses) == 1:
        return np.repeat(poses, len(usable), axis=0)
    known = np.flatnonzero(usable)
    wanted = np.clip(np.arange(len(usable)), known[0], known[-1])
    filled = np.tile(np.eye(4), (len(usable), 1, 1))
    filled[:, :3, :3] = Slerp(known, Rotation.from_matrix(poses[:, :3, :3]))(wanted).as_matrix()
    for axis in range(3):
        filled[:, axis, 3] = np.interp(wanted, known, poses[:, axis, 3])
    filled[known] = poses
    return filled


def pose_jitter(
    poses: Float[np.ndarray, "frames 4 4"],
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Measure frame-to-frame noise: the robust standard deviation of second differences, per axis.

    Returns:
        Rotation about the camera's axes in degrees; position of the head in the camera's axes, in world units.
    """
    if len(poses) < 3:
        return np.zeros(3), np.zeros(3)
    rotations = Rotation.from_matrix(poses[:, :3, :3])
    steps = (rotations[:-1].inv() * rotations[1:]).as_rotvec(degrees=True)
    acceleration = np.diff(steps, axis=0)
    # The camera's position would show rotation once more, with the distance as lever.
    head = -np.einsum("fji,fj->fi", poses[:, :3, :3], poses[:, :3, 3])
    bend = np.diff(head, n=2, axis=0)
    # White noise of standard deviation s has second differences of standard deviation sqrt(6) s.
    return tuple(1.4826 * np.median(np.abs(value), axis=0) / np.sqrt(6) for value in (acceleration, bend))


def _fit(
    points: np.ndarray,
    chosen: np.ndarray,
    layout: LandmarkScheme,
    centre: tuple[float, float],
    width: int,
    focal: float | None,
) -> tuple[Adjustment, Priors]:
    guess = focal if focal is not None else FOCAL_IN_WIDTHS * width
    start = initial_bundle(points, guess, centre)
    right, left = (start.shape[np.flatnonzero(chosen == corner)[0]] for corner in _eye_corners(layout))
    priors = Priors(
        focal=guess,
        focal_log_sigma=FOCAL_LOG_SIGMA if focal is None else 0.0,
        shape=start.shape,
        shape_sigma=SHAPE_SIGMA_CM / _OUTER_EYE_CM * float(np.linalg.norm(right - left)),
    )
    return bundle_adjust(points[..., :2], start, centre, priors), priors


def _posed(
    landmarks: np.ndarray, frames: np.ndarray, stable: np.ndarray, bundle: Bundle, centre: tuple[float, float]
) -> Adjustment:
    """Place every frame of a long clip: focal length and shape are known."""
    known = Priors(bundle.focal, 0.0, bundle.shape, shape_sigma=1e-9)
    parts = []
    for begin in range(0, len(frames), _PLACED_FRAMES):
        points = landmarks[frames[begin : begin + _PLACED_FRAMES]][:, stable].astype(np.float64)
        start = placed(points, bundle.shape, bundle.focal, centre)
        parts.append(bundle_adjust(points[..., :2], start, centre, known))
        release(landmarks)
    rotations = np.concatenate([part.bundle.rotations for part in parts])
    translations = np.concatenate([part.bundle.translations for part in parts])
    error_px = np.concatenate([part.error_px for part in parts])
    return Adjustment(
        replace(bundle, rotations=rotations, translations=translations),
        error_px,
        sum(part.cost for part in parts),
        max(part.iterations for part in parts),
    )


def _spread(count: int, wanted: int) -> Int[np.ndarray, " chosen"]:
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int))


def _restful(error_px: np.ndarray, candidates: np.ndarray, layout: LandmarkScheme) -> Bool[np.ndarray, " candidates"]:
    error = np.median(error_px, axis=0)
    # With few landmarks each one holds a rotation; only a dense mesh can afford to lose some.
    limit = _RESTLESS if len(candidates) > 60 else np.inf
    return (error <= limit * np.median(error)) | np.isin(candidates, list(_eye_corners(layout)))


def _eye_corners(layout: LandmarkScheme) -> tuple[int, int]:
    return int(layout.right_eye[0]), int(layout.left_eye[3])


def _data_cost(error_px: np.ndarray) -> float:
    return float(np.where(error_px < 1, error_px**2 / 2, error_px - 0.5).mean())


def _subset(bundle: Bundle, frames: np.ndarray) -> Bundle:
    return replace(bundle, rotations=bundle.rotations[frames], translations=bundle.translations[frames])


def _refocus(bundle: Bundle, factor: float) -> Bundle:
    """Zoom and step back by the same factor, which leaves the middle of the object where it is in the image."""
    stretched = bundle.translations * np.array([1.0, 1.0, factor])
    return replace(bundle, focal=bundle.focal * factor, translations=stretched)
