"""Where the head can be in depth, from its landmarks alone: what silhouettes of a frontal clip leave open.

A speaker hardly turns, so the visual hull of the head reaches far in front of the face, and a field that starts there
learns a veil instead of a surface. The tracked landmarks, seen from all head poses, fix the face in depth. Our design.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ns_talking.data.format import Portrait

FRONT = 0.08
"""Room in front of the face's mean surface, in world units (2 cm): pouting lips, a nose between landmarks."""
BACK = 0.25
"""Room behind it (6 cm): an open mouth."""
AROUND = 0.2
"""Room in front of what surrounds the face (5 cm): hair over the forehead. With 68 landmarks, which end at the brows,
it leaves up to 3 cm of a crown outside; 10 cm above the brows cost er-nerf 0.7 dB on the procedural head (400
iterations, one seed)."""
_MAX_DEPTH_ERROR = 0.02
"""Standard deviation of a landmark's depth, in world units, from which on the landmarks say nothing about depth."""
_MIN_TURN = 0.01
"""Least spread of the cameras around the head, in radians: with a still head, rays only meet where they start."""
_VIEWS = 200


@dataclass(frozen=True)
class FaceSurface:
    """The face's mean landmarks in the head frame, and the direction they are seen from."""

    points: Float[np.ndarray, "points 3"]
    towards_camera: Float[np.ndarray, "3"]
    """Unit vector from the head's origin to the mean camera."""

    def may_hold_head(self, positions: Float[np.ndarray, "positions 3"]) -> Bool[np.ndarray, " positions"]:
        """Tell where the head may be.

        Within the outline of the landmarks that is a layer around the face. Around it the head recedes from the
        nearest landmark by at least its distance from it, less the room for hair.

        Args:
            positions: Points in the head frame, in world units.
        """
        from scipy.interpolate import LinearNDInterpolator
        from scipy.spatial import KDTree

        axes = np.linalg.svd(self.towards_camera[None])[2][1:]
        plane, own_plane = positions @ axes.T, self.points @ axes.T
        nearness, own_nearness = positions @ self.towards_camera, self.points @ self.towards_camera
        surface = LinearNDInterpolator(own_plane, own_nearness)(plane)
        behind = surface - nearness
        distance, nearest = KDTree(own_plane).query(plane)
        around = nearness < own_nearness[nearest] - distance + AROUND
        return np.where(np.isfinite(surface), (behind > -FRONT) & (behind < BACK), around)


def face_surface(
    portrait: Portrait, frames: Sequence[int], camera_to_world: Float[np.ndarray, "frames 3 4"]
) -> FaceSurface | None:
    """Intersect the rays of every landmark from the head poses of many frames.

    Args:
        portrait: The dataset.
        frames: Frames, as positions in the clip.
        camera_to_world: Their cameras, OpenGL.

    Returns:
        None where the head turns too little for landmarks to be placed in depth.
    """
    rows = np.unique(np.linspace(0, len(frames) - 1, _VIEWS).round().astype(int))
    pixels = portrait.landmarks[np.asarray(frames)[rows], :, :2].astype(np.float64)
    seen = np.isfinite(pixels).all(axis=(1, 2))
    pixels, cameras = pixels[seen], np.asarray(camera_to_world, dtype=np.float64)[rows][seen]
    origins = cameras[:, :, 3]
    mean_origin = origins.mean(axis=0)
    if np.linalg.norm(origins - mean_origin) < _MIN_TURN * np.linalg.norm(mean_origin) * np.sqrt(len(origins)):
        return None
    centre = np.array([portrait.width, portrait.height]) / 2
    across = (pixels - centre) / portrait.focal_px * (1, -1)
    directions = np.concatenate([across, np.full((*across.shape[:2], 1), -1.0)], axis=2)
    directions = np.einsum("fij,fpj->fpi", cameras[:, :, :3], directions)
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    # Least squares: the sum over rays of the projector across the ray, times the distance from the ray's origin.
    across_ray = np.eye(3) - directions[..., :, None] * directions[..., None, :]
    normal = across_ray.sum(axis=0)
    points = np.linalg.solve(normal, np.einsum("fpij,fj->pi", across_ray, origins)[..., None])[..., 0]
    misses = np.einsum("fpij,fpj->fpi", across_ray, points - origins[:, None])
    noise = np.sqrt((misses**2).sum(axis=2).mean(axis=0) / 2)
    if np.median(noise / np.sqrt(np.linalg.eigvalsh(normal)[:, 0])) > _MAX_DEPTH_ERROR:
        return None
    return FaceSurface(points, mean_origin / np.linalg.norm(mean_origin))
