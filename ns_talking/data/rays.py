"""Rays through picked pixels of pinhole cameras, without the generality that makes Nerfstudio's generator slow."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor


class PinholeRays:
    """Casts the rays that `nerfstudio.model_components.ray_generators.RayGenerator` casts.

    Args:
        cameras: Undistorted perspective cameras with times and the metadata `frame_index`.
        device: Where the rays shall live.
    """

    def __init__(self, cameras: Cameras, device: torch.device | str) -> None:
        assert cameras.times is not None
        assert cameras.metadata is not None
        self._camera_to_world = cameras.camera_to_worlds.to(device)
        self._inverse_focal = torch.cat([1 / cameras.fx, -1 / cameras.fy], dim=-1).to(device)
        # Rays pass through pixel centres, and OpenGL's y points up.
        self._centre = torch.cat([cameras.cx, cameras.cy], dim=-1).to(device) - 0.5
        self._host_times = cameras.times.cpu()
        self._times = cameras.times.to(device)
        self._frame_index = cameras.metadata["frame_index"].to(device)

    def __call__(self, indices: Int64[Tensor, "rays 3"]) -> RayBundle:
        """Cast one ray per pixel.

        Args:
            indices: Camera, row and column of the pixels, on the rays' device.
        """
        camera = indices[:, 0]
        inverse_focal = self._inverse_focal[camera]
        xy = (indices[:, [2, 1]] - self._centre[camera]) * inverse_focal
        pose = self._camera_to_world[camera]
        rotation = pose[:, :, :3]
        towards = rotation[..., 0] * xy[:, :1] + rotation[..., 1] * xy[:, 1:] - rotation[..., 2]
        squares = xy.square()
        squared_norm = squares.sum(dim=-1, keepdim=True) + 1
        norm = squared_norm.sqrt()
        # Sine of the angle to the next pixel across and down: |a x b| / |a| |b|, free of cancellation.
        next_norm = (squared_norm + (2 * xy + inverse_focal) * inverse_focal).sqrt()
        sines = inverse_focal.abs() * (1 + squares.flip(-1)).sqrt() / (norm * next_norm)
        return RayBundle(
            origins=pose[:, :, 3],
            directions=towards / norm,
            pixel_area=sines.prod(dim=-1, keepdim=True),
            camera_indices=camera[:, None],
            times=self._times[camera],
            metadata={"directions_norm": norm, "frame_index": self._frame_index[camera]},
        )

    def times(self, camera: Int64[np.ndarray, " rays"]) -> Float[Tensor, "rays 1"]:
        """Give the times of rays in the host's memory.

        Args:
            camera: Camera of every ray.
        """
        return self._host_times[torch.from_numpy(camera)]
