"""Nerfstudio's cameras for the frames of a portrait."""

from __future__ import annotations

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType

from ns_talking.data.format import Portrait, frame_time


def portrait_cameras(portrait: Portrait, indices: list[int], downscale_factor: int = 1) -> Cameras:
    """Make the cameras of some frames, each with its time and its `frame_index` in the clip.

    Args:
        portrait: The dataset.
        indices: Frames, as positions in the clip.
        downscale_factor: Divides width and height, rounding down.
    """
    rows = np.asarray(indices, dtype=np.int64)
    times = frame_time(rows.astype(np.float64), portrait.num_frames)
    cameras = Cameras(
        camera_to_worlds=torch.from_numpy(portrait.head_poses[rows, :3].astype(np.float32)),
        fx=portrait.focal_px,
        fy=portrait.focal_px,
        cx=portrait.width / 2,
        cy=portrait.height / 2,
        width=portrait.width,
        height=portrait.height,
        camera_type=CameraType.PERSPECTIVE,
        times=torch.from_numpy(times.astype(np.float32))[:, None],
        metadata={"frame_index": torch.from_numpy(rows)[:, None]},
    )
    if downscale_factor > 1:
        resize_cameras(cameras, portrait.width // downscale_factor, portrait.height // downscale_factor)
    return cameras


def resize_cameras(cameras: Cameras, width: int, height: int) -> None:
    """Fit cameras to resized images, in place.

    Unlike `Cameras.rescale_output_resolution` it takes the size in px, so that rounding never moves the principal
    point away from the image's centre.
    """
    scale_x, scale_y = width / cameras.width, height / cameras.height
    cameras.fx, cameras.cx = cameras.fx * scale_x, cameras.cx * scale_x
    cameras.fy, cameras.cy = cameras.fy * scale_y, cameras.cy * scale_y
    cameras.width = torch.full_like(cameras.width, width)
    cameras.height = torch.full_like(cameras.height, height)
