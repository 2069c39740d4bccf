"""Rays as the renderers take them: origin, direction, place in the picture, frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor


@dataclass(frozen=True)
class Rays:
    """Rays of one or several frames."""

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    """Unit vectors."""
    pixels: Float[Tensor, "rays 2"]
    """Row and column in [-1, 1], from the first to the last pixel of the image."""
    row: Int[Tensor, " rays"]
    """Row of the condition that each ray is rendered under."""
    picture_width: int = 0
    """Rays per row of the picture, where they are those of a picture row by row; 0 where they are not."""

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, part: slice) -> Rays:
        return Rays(self.origins[part], self.directions[part], self.pixels[part], self.row[part], self.picture_width)


def camera_rays(camera: Cameras, device: torch.device) -> Rays:
    """Cast a ray through the centre of every pixel of one perspective camera, row by row.

    Args:
        camera: A batch of one, without distortion.
        device: Where the rays shall live.
    """
    height, width = int(camera.height), int(camera.width)
    rows = torch.arange(height, device=device, dtype=torch.float32)
    columns = torch.arange(width, device=device, dtype=torch.float32)
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    x = (column.flatten() + 0.5 - float(camera.cx)) / float(camera.fx)
    y = (row.flatten() + 0.5 - float(camera.cy)) / float(camera.fy)
    pose = camera.camera_to_worlds.view(3, 4).to(device)
    directions = torch.stack([x, -y, -torch.ones_like(x)], dim=1) @ pose[:, :3].T
    pixels = torch.stack([row / max(height - 1, 1), column / max(width - 1, 1)], dim=-1).view(-1, 2) * 2 - 1
    return Rays(
        origins=pose[:, 3].expand(len(directions), 3),
        directions=directions / directions.norm(dim=1, keepdim=True),
        pixels=pixels,
        row=torch.zeros(len(directions), dtype=torch.long, device=device),
        picture_width=width,
    )
