"""The occupancy grid: which parts of the head's box may hold anything, whatever is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.utils.device import seeded_generator

_NEVER = -1.0
"""Marks cells that no camera sees a head in."""


@dataclass
class OccupancyGridConfig(InstantiateConfig):
    """Occupancy as the maximum over audio and time."""

    _target: type = field(default_factory=lambda: OccupancyGrid)
    resolution: int = 128
    """Cells along each side of the box."""
    update_interval: int = 16
    """Training steps between two updates."""
    update_parts: int = 1
    """An update evaluates one of this many interleaved parts of the cells; 4 makes it four times cheaper."""
    decay: float = 0.95
    """Factor on the old value of a cell that is evaluated again."""
    max_threshold: float = 10.0
    """Density above which a cell is occupied for certain; the mean density is the threshold while it is lower."""


class OccupancyGrid(nn.Module):
    """A decaying maximum of the density over the training frames' audio, on a grid that spans the head's box.

    Source:
        RAD-NeRF (Tang et al., 2022), section 3.4, "maximum occupancy grid pruning". Differs from the paper: cells
        outside the visual hull of the head masks are never occupied (there: cells outside every camera's view).

    Args:
        config: Resolution and schedule.
        bounds: Lower and upper corner of the box.
    """

    def __init__(self, config: OccupancyGridConfig, bounds: Float[Tensor, "2 3"]) -> None:
        super().__init__()
        self.config = config
        shape = (config.resolution,) * 3
        self.register_buffer("bounds", bounds.float())
        self.register_buffer("density", torch.zeros(shape))
        self.register_buffer("occupied", torch.ones(shape, dtype=torch.bool))
        self.bounds: Tensor
        self.density: Tensor
        self.occupied: Tensor
        self._allowed: dict[int, Tensor] = {}

    def cell_centres(self, cells: Int[Tensor, " cells"]) -> Float[Tensor, "cells 3"]:
        """Place cells, counted with x slowest, in the world."""
        resolution = self.config.resolution
        index = torch.stack([cells // resolution**2, cells // resolution % resolution, cells % resolution], dim=1)
        low, high = self.bounds
        return low + (index + 0.5) / resolution * (high - low)

    @torch.no_grad()
    def update(self, density: Callable[[Tensor], Tensor], step: int) -> None:
        """Evaluate cells at random places inside them and keep the decayed maximum.

        The places are a function of the step, so that a resumed run continues alike.

        Args:
            density: Density at points in the world, under the audio of one training frame.
            step: Training step.
        """
        config, device = self.config, self.density.device
        turn = step // config.update_interval % config.update_parts
        cells = self._allowed_cells(turn)
        jitter = torch.rand(len(cells), 3, generator=seeded_generator(step, device), device=device) - 0.5
        size = (self.bounds[1] - self.bounds[0]) / config.resolution
        fresh = torch.zeros_like(self.density)
        fresh.view(-1)[cells] = density(self.cell_centres(cells) + jitter * size).float()
        kept = self.density.clone()
        kept.view(-1)[cells] *= config.decay
        updated = torch.maximum(kept, _dilate_by_neighbours(fresh))
        self.density.copy_(torch.where(self.density == _NEVER, self.density, updated))
        threshold = self.density.clamp(min=0).mean().clamp(max=config.max_threshold)
        self.occupied.copy_(self.density > threshold)

    @torch.no_grad()
    def hull(
        self,
        masks: Bool[Tensor, "frames height width"],
        camera_to_world: Float[Tensor, "frames 3 4"],
        focal: float,
        min_share: float,
    ) -> Bool[Tensor, " cells"]:
        """Find the cells that fall into masks, and their neighbours: the visual hull of a rigid thing.

        Args:
            masks: Where it is, grown by what tracking may be wrong by.
            camera_to_world: OpenGL cameras of the masks.
            focal: Focal length as a share of the masks' width.
            min_share: Share of the masks that a cell must fall into; below 1 for what is not rigid, as jaw and hair.
        """
        # Beyond the image's edge nothing is known, so the cell is given the benefit of the doubt.
        seen = self.seen_in(masks, camera_to_world, focal, beyond="counts")
        found = (seen >= min_share * len(masks)).view_as(self.density)
        return _dilate_by_neighbours(found.float()).view(-1) > 0

    @torch.no_grad()
    def seen_in(
        self,
        masks: Bool[Tensor, "frames height width"],
        camera_to_world: Float[Tensor, "frames 3 4"],
        focal: float,
        beyond: Literal["counts", "continues"] = "continues",
    ) -> Float[Tensor, " cells"]:
        """Count in how many masks each cell falls.

        Args:
            masks: Silhouettes.
            camera_to_world: Their OpenGL cameras.
            focal: Focal length as a share of the masks' width.
            beyond: Whether what lies beyond a picture's edge counts, or only where the silhouette runs over the edge.
        """
        points = self.cell_centres(torch.arange(self.density.numel(), device=self.density.device))
        height, width = masks.shape[1:]
        hits = torch.zeros(len(points), device=points.device)
        for mask, pose in zip(masks, camera_to_world, strict=True):
            camera = (points - pose[:, 3]) @ pose[:, :3]
            column = focal * width * camera[:, 0] / -camera[:, 2] + width / 2
            row = height / 2 - focal * width * camera[:, 1] / -camera[:, 2]
            seen = mask[row.long().clamp(0, height - 1), column.long().clamp(0, width - 1)]
            if beyond == "counts":
                seen = seen | (column < 0) | (column >= width) | (row < 0) | (row >= height)
            hits += seen.float()
        return hits

    @torch.no_grad()
    def forbid(self, cells: Bool[Tensor, " cells"]) -> None:
        """Switch cells off for good.

        Args:
            cells: Which ones, of all cells with x slowest.
        """
        cells = cells.view_as(self.occupied)
        self.density.masked_fill_(cells, _NEVER)
        self.occupied &= ~cells
        self._allowed.clear()

    def _allowed_cells(self, turn: int) -> Int[Tensor, " cells"]:
        """List the cells of a part that may ever be occupied. Counting them waits for a GPU, hence only once."""
        device, parts = self.density.device, self.config.update_parts
        if turn not in self._allowed or self._allowed[turn].device != device:
            cells = torch.arange(turn, self.config.resolution**3, parts, device=device)
            self._allowed[turn] = cells[self.density.view(-1)[cells] != _NEVER]
        return self._allowed[turn]

    def _load_from_state_dict(self, *args: Any) -> None:  # Any: PyTorch's hook.
        """Forget which cells were allowed before."""
        self._allowed.clear()
        super()._load_from_state_dict(*args)


def _dilate_by_neighbours(grid: Tensor) -> Tensor:
    """Take the maximum of each cell and its six face neighbours."""
    volume = grid[None, None]
    along = [F.max_pool3d(volume, size, stride=1, padding=tuple(s // 2 for s in size)) for size in _CROSS]
    return torch.stack(along).amax(dim=0)[0, 0]


_CROSS = ((3, 1, 1), (1, 3, 1), (1, 1, 3))
