"""A canonical picture that a pose deforms: what the torsos of the grid methods share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.kernels.frequency_encoding import frequency_encoding
from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.hash_encoding import hash_encoding
from ns_talking.modules.embeddings import AppearanceCodes
from ns_talking.modules.mlp import MLP, HasImplementation

POSE_DIM = 6
"""Numbers that stand for a pose."""
EXTENT = 0.8
"""Pixels fill this part of the canvas, so that the deformation can reach beyond the image's edge."""


@dataclass
class PosedCanvasConfig(InstantiateConfig):
    """Options of every torso."""

    appearance_dim: int = 8
    """Channels of the torso's own appearance code."""
    finest_resolution: int = 2048
    """Cells along a side of the finest level of the canonical picture. Cells much smaller than the training pixels
    are seen too rarely and show as speckles."""
    occupancy_resolution: int = 128
    """Cells along a side of the map of pixels where a torso was ever seen."""


@dataclass(frozen=True)
class CanvasSizes:
    """What differs between the papers."""

    pose_degree: int
    """Octaves that encode the pose."""
    pixel_degree: int
    """Octaves that encode the place in the image."""
    deformation_dim: int
    """Width of the network that deforms."""
    margin: float
    """How far colour and opacity may leave [0, 1]."""


class PosedCanvas(nn.Module, HasImplementation, ABC):
    """Colour and opacity of the torso at image positions, under a head pose.

    Source:
        RAD-NeRF (Tang et al., 2022), section 3.4, the pseudo-3-D torso: a canonical picture in a tiled 2-D grid with
        16 levels of 2 channels, looked up where the pose moves a pixel to.
    """

    def __init__(self, config: PosedCanvasConfig, sizes: CanvasSizes) -> None:
        super().__init__()
        self.config = config
        self.sizes = sizes
        self.appearance = AppearanceCodes(config.appearance_dim)
        self.grid = GridGeometry(
            dimensions=2,
            num_levels=16,
            features_per_level=2,
            base_resolution=16,
            finest_resolution=config.finest_resolution,
            log2_table_size=16,
            kind="tiled",
        )
        self.table = nn.Parameter(torch.empty(self.grid.num_entries, 2).uniform_(-1e-4, 1e-4))
        pose_dim = POSE_DIM * (1 + 2 * sizes.pose_degree)
        pixel_dim = 2 * (1 + 2 * sizes.pixel_degree)
        shared_dim = pixel_dim + pose_dim + config.appearance_dim
        self.deformation_mlp = MLP(shared_dim, sizes.deformation_dim, sizes.deformation_dim, 2)
        self.torso_mlp = MLP(self.grid.output_dim + shared_dim, 32, 32, 4)
        resolution = config.occupancy_resolution
        self.register_buffer("occupancy", torch.zeros(resolution, resolution))
        self.occupancy: Tensor

    @abstractmethod
    def encode_pose(self, head_pose: Float[Tensor, "frames 3 4"]) -> Float[Tensor, "frames 6"]:
        """Express camera-to-world matrices by six numbers of order one."""

    def encode_frame(
        self, head_pose: Float[Tensor, "frames 3 4"], frame: Int[Tensor, " frames"]
    ) -> Float[Tensor, "frames condition"]:
        """Give what is the same at all pixels of a frame: its encoded pose and its appearance code."""
        pose = frequency_encoding(self.encode_pose(head_pose), self.sizes.pose_degree)
        return torch.cat([pose, self.appearance(frame)], dim=1)

    def forward(
        self,
        pixels: Float[Tensor, "rays 2"],
        head_pose: Float[Tensor, "frames 3 4"],
        frame: Int[Tensor, " frames"],
        row: Int[Tensor, " rays"],
    ) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 1"]]:
        """Evaluate the torso.

        Args:
            pixels: Row and column in [-1, 1], from the first to the last pixel.
            head_pose: Camera-to-world of each distinct frame.
            frame: Index of each distinct frame, for its appearance code.
            row: Which frame each ray belongs to.

        Returns:
            Colour in about [0, 1], opacity likewise.
        """
        per_frame = self.encode_frame(head_pose, frame)
        canvas = pixels * EXTENT
        shared = torch.cat([frequency_encoding(canvas, self.sizes.pixel_degree), per_frame.index_select(0, row)], dim=1)
        deformed = (canvas + self.deformation_mlp(shared)).clamp(-1, 1)
        features = hash_encoding.by(self.implementation)((deformed + 1) / 2, self.table, self.grid)
        margin = self.sizes.margin
        values = self.torso_mlp(torch.cat([features, shared], dim=1)).float().sigmoid() * (1 + 2 * margin) - margin
        return values[:, 1:], values[:, :1]

    @torch.no_grad()
    def update_occupancy(self, head_pose: Float[Tensor, "frames 3 4"], frame: Int[Tensor, " frames"]) -> None:
        """Refresh the map of pixels with torso from one pose: 0.95 of the old value, or the new one if larger.

        Source:
            RAD-NeRF's 2-D occupancy, with its 5 x 5 dilation.
        """
        resolution = self.config.occupancy_resolution
        axis = torch.linspace(-1, 1, resolution, device=self.occupancy.device)
        pixels = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)
        row = torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)
        _, alpha = self(pixels, head_pose[:1], frame[:1], row)
        alpha = alpha.view(1, 1, resolution, resolution)
        dilated = nn.functional.max_pool2d(alpha, 5, stride=1, padding=2)[0, 0]
        self.occupancy.copy_(torch.maximum(self.occupancy * 0.95, dilated))

    def occupied(self, pixels: Float[Tensor, "rays 2"]) -> Bool[Tensor, " rays"]:
        """Tell which pixels may show torso; before the first update all do."""
        threshold = self.occupancy.mean().clamp(max=0.01)
        cells = ((pixels + 1) / 2 * (self.config.occupancy_resolution - 1)).round().long()
        return self.occupancy[cells[:, 0], cells[:, 1]] >= threshold
