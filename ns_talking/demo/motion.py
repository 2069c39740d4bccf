"""Natural, smooth movement of the procedural head: poses of a few degrees, blinks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from ns_talking.data.format import FRAME_RATE_HZ
from ns_talking.demo.head import neutral_camera_to_world

_PIVOT = np.array([0.0, 0.18, -0.50])
"""The head turns about the top of the neck."""
_DEGREES = np.array([6.5, 3.2, 2.2])
"""Typical extent of yaw, pitch and roll."""
_SHIFT = 0.012


def head_pose(
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
    roll_deg: float = 0.0,
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Float[np.ndarray, "4 4"]:
    """Camera-to-world of a head that turned in front of a fixed camera.

    Args:
        yaw_deg: Positive turns the face to the image's right.
        pitch_deg: Positive bows the head.
        roll_deg: Positive tilts the crown to the image's right.
        shift: Movement of the whole head in world units.
    """
    turn = Rotation.from_rotvec(np.radians([0.0, 0.0, yaw_deg]))
    bow = Rotation.from_rotvec(np.radians([pitch_deg, 0.0, 0.0]))
    tilt = Rotation.from_rotvec(np.radians([0.0, roll_deg, 0.0]))
    rotation = (turn * bow * tilt).as_matrix()
    head_to_room = np.eye(4)
    head_to_room[:3, :3] = rotation
    head_to_room[:3, 3] = _PIVOT + np.asarray(shift, dtype=float) - rotation @ _PIVOT
    return np.linalg.inv(head_to_room) @ neutral_camera_to_world()


def head_poses(
    num_frames: int,
    seed: int = 0,
    fps: float = FRAME_RATE_HZ,
    amplitude: float = 1.0,
    loudness: Float[np.ndarray, " frames"] | None = None,
    nod_deg: float = 1.2,
) -> Float[np.ndarray, "frames 4 4"]:
    """Let the head sway, turn and nod slowly.

    Args:
        num_frames: Length.
        seed: Course of the movement.
        fps: Frames per second.
        amplitude: Factor on all angles and shifts; 0 holds still.
        loudness: Speech makes the head nod a little where it is given.
        nod_deg: Extent of these nods.
    """
    generator = np.random.default_rng([seed, 7])
    time = np.arange(num_frames) / fps
    waves = np.zeros((6, num_frames))
    for axis in range(6):
        for rate_hz, weight in ((0.09, 0.55), (0.21, 0.45), (0.47, 0.16)):
            rate = rate_hz * generator.uniform(0.75, 1.3)
            waves[axis] += weight * np.sin(2 * np.pi * (rate * time + generator.uniform()))
    nod = np.zeros(num_frames)
    if loudness is not None and num_frames:
        slow = gaussian_filter1d(np.asarray(loudness, dtype=float), 0.12 * fps)
        nod = nod_deg * (slow - slow.mean())
    angles = amplitude * (waves[:3] * _DEGREES[:, None] + np.stack([0 * nod, nod, 0 * nod]))
    shifts = amplitude * _SHIFT * waves[3:]
    poses = np.empty((num_frames, 4, 4))
    for index, ((yaw, pitch, roll), (x, y, z)) in enumerate(zip(angles.T.tolist(), shifts.T.tolist(), strict=True)):
        poses[index] = head_pose(yaw, pitch, roll, (x, y, z))
    return poses


def blinks(num_frames: int, seed: int = 0, fps: float = FRAME_RATE_HZ) -> Float[np.ndarray, " frames"]:
    """Close the eyes every two to four seconds for about a quarter of a second; 0 open, 1 closed."""
    generator = np.random.default_rng([seed, 11])
    time = np.arange(num_frames) / fps
    closed = np.zeros(num_frames)
    instant = float(generator.uniform(0.8, 1.8))
    while instant < num_frames / fps:
        # Lids fall faster than they rise.
        before, after = 0.10, 0.18
        fall = np.clip((time - instant) / before + 1.0, 0.0, 1.0)
        rise = np.clip(1.0 - (time - instant - 0.05) / after, 0.0, 1.0)
        event = np.minimum(fall, rise)
        closed = np.maximum(closed, event * event * (3.0 - 2.0 * event))
        instant += float(generator.uniform(1.8, 3.8))
    return closed.astype(np.float32)
