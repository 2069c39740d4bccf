"""Smoothing of head-pose tracks that stays in SO(3). Off by default: tracking noise is real motion more often."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from jaxtyping import Float


def smooth_head_poses(head_poses: Float[np.ndarray, "frames 4 4"], sigma_s: float, fps: float = 25.0) -> np.ndarray:
    """Smooth a track of cameras with a Gaussian over time.

    Rotation and position of the *head in camera space* are averaged, since the position of the camera in the head's
    world swings with every rotation; the weighted mean of the matrices is projected back to the nearest rotation
    (the chordal mean). The ends are mirrored, so a track at rest stays where it is.

    Args:
        head_poses: Camera-to-world.
        sigma_s: Standard deviation of the Gaussian in seconds; 0 changes nothing.
        fps: Frames per second.

    Returns:
        Camera-to-world, of the dtype given.

    Raises:
        ValueError: When `sigma_s` is negative.
    """
    if sigma_s < 0:
        raise ValueError(f"The width of the smoothing is {sigma_s} s; it has to be 0 or more.")
    if sigma_s == 0 or len(head_poses) < 2:
        return head_poses.copy()
    head_to_camera = np.linalg.inv(head_poses.astype(np.float64))
    smooth = scipy.ndimage.gaussian_filter1d(head_to_camera, sigma_s * fps, axis=0, mode="mirror")
    smooth[:, :3, :3] = nearest_rotation(smooth[:, :3, :3])
    smooth[:, 3] = (0, 0, 0, 1)
    return np.linalg.inv(smooth).astype(head_poses.dtype)


def nearest_rotation(matrices: Float[np.ndarray, "frames 3 3"]) -> Float[np.ndarray, "frames 3 3"]:
    """Project matrices to the nearest rotations in the Frobenius norm (orthogonal Procrustes)."""
    u, _, vt = np.linalg.svd(matrices)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    return u @ vt
