"""What a viewer's camera sees of a portrait: the head in space, torso and background in the clip's own frame.

Torso and background are pictures in the frame of the clip's camera, so a window of another shape shows them where that
camera would, and darkness beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor, nn

from ns_talking.driving.track import Condition
from ns_talking.rendering.rays import camera_rays

if TYPE_CHECKING:
    from ns_talking.methods.base import PortraitModel

_SURROUNDINGS = 0.06
"""Grey beside the clip's frame."""
_MOUTH_WIDTHS = 2.6
"""Width of the close-up in widths of the mouth."""


@dataclass(frozen=True)
class Closeup:
    """A part of the clip's frame that fills the window."""

    centre_px: tuple[float, float]
    """x and y in the clip's frame."""
    height_px: float


def mouth_closeup(lips: Float[np.ndarray, "points 2"]) -> Closeup | None:
    """Frame the mouth; None where it was not tracked.

    Args:
        lips: Its landmarks in px of the clip's frame.
    """
    if not np.isfinite(lips).all():
        return None
    low, high = lips.min(axis=0), lips.max(axis=0)
    x, y = (low + high) / 2
    return Closeup((float(x), float(y)), float(_MOUTH_WIDTHS * (high[0] - low[0])))


def render_view(
    model: PortraitModel, camera: Cameras, condition: Condition, closeup: Closeup | None = None
) -> dict[str, Float[Tensor, "height width channels"]]:
    """Render every layer as a viewer's camera sees it.

    Args:
        model: The portrait, as it is driven now.
        camera: A batch of one, of any size, place and field of view.
        condition: What drives the portrait, one frame.
        closeup: Turns the lens to a part of the clip's frame.
    """
    portrait = model.portrait
    size = int(camera.height), int(camera.width)
    focal_px = float(camera.fy)
    centre = float(camera.cx), float(camera.cy)
    if closeup is not None:
        zoom = size[0] / closeup.height_px
        focal_px = portrait.focal_px * zoom
        frame_centre = portrait.width / 2, portrait.height / 2
        centre = tuple(
            middle + zoom * (whole - part)
            for middle, whole, part in zip((size[1] / 2, size[0] / 2), frame_centre, closeup.centre_px, strict=True)
        )
    axes = [
        _along_axis(count, middle, length, portrait.focal_px / focal_px)
        for count, middle, length in zip(size, centre[::-1], (portrait.height, portrait.width), strict=True)
    ]
    (top, rows), (left, columns) = axes
    part = len(rows), len(columns)
    lens = Cameras(camera.camera_to_worlds, focal_px, focal_px, centre[0] - left, centre[1] - top, part[1], part[0])
    pixels = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).view(-1, 2).to(model.device)
    rays = replace(camera_rays(lens, model.device), pixels=pixels)
    background = nn.functional.grid_sample(model.plate, pixels.flip(-1)[None, None], align_corners=True)[0, :, 0].T
    outputs = model.render_rays(rays, condition, camera.camera_to_worlds.view(1, 3, 4), background)
    whole = {}
    for name, values in outputs.items():
        canvas = values.new_full((*size, values.shape[-1]), _SURROUNDINGS if name == "rgb" else 0.0)
        canvas[top : top + part[0], left : left + part[1]] = values.view(*part, -1)
        whole[name] = canvas
    return whole


def _along_axis(num_pixels: int, centre_px: float, frame_px: int, scale: float) -> tuple[int, Float[Tensor, " inside"]]:
    """Find the pixels of a window that lie in the clip's frame, along one axis.

    Args:
        num_pixels: Of the window.
        centre_px: Where the frame's centre is in the window.
        frame_px: Pixels of the frame.
        scale: Pixels of the frame per pixel of the window.

    Returns:
        The first such pixel, and the place of each in the frame, in [-1, 1] from its first to its last pixel. There is
        always one, if only at the edge.
    """
    index = torch.arange(num_pixels, dtype=torch.float32)
    in_frame = (index + 0.5 - centre_px) * scale + frame_px / 2
    inside = ((in_frame >= 0) & (in_frame <= frame_px)).nonzero()[:, 0]
    first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, 0)
    places = (in_frame[first : last + 1] - 0.5) / max(frame_px - 1, 1) * 2 - 1
    return first, places.clamp(-1, 1)
