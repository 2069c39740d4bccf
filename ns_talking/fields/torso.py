"""The torso: a picture of neck and shoulders that the head's pose deforms."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.hash_encoding import hash_encoding
from ns_talking.modules.embeddings import AppearanceCodes, frequency_encoding
from ns_talking.modules.mlp import MLP

_ANCHORS = ((0.1, -0.01, 0.01, 1.0), (0.1, 0.1, -0.1, 1.0), (0.1, 0.1, 0.1, 1.0))
"""ER-NeRF's starting anchors, homogeneous, turned from its axes (up, out of the face, right) into ours."""
_ANCHOR_DEGREE = 3
_PIXEL_DEGREE = 8
_EXTENT = 0.8
"""Pixels fill this part of the torso's canvas, so that the deformation can reach beyond the image's edge."""


@dataclass
class TorsoFieldConfig(InstantiateConfig):
    """Torso with adaptive pose encoding."""

    _target: type = field(default_factory=lambda: TorsoField)
    appearance_dim: int = 8
    """Channels of the torso's own appearance code."""
    finest_resolution: int = 2048
    """Cells along a side of the finest level of the canonical picture. Cells much smaller than the training pixels
    are seen too rarely and show as speckles."""
    occupancy_resolution: int = 128
    """Cells along a side of the map of pixels where a torso was ever seen."""


class TorsoField(nn.Module):
    """Colour and opacity of the torso at image positions, under a head pose.

    Source:
        ER-NeRF (Li et al., ICCV 2023), section 3.4, adaptive pose encoding: three trainable points are projected
        into the image by the head's pose and drive the deformation of a canonical picture. The picture is RAD-NeRF's
        (Tang et al., 2022): a tiled 2-D grid with 16 levels of 2 channels.
    """

    def __init__(self, config: TorsoFieldConfig) -> None:
        super().__init__()
        self.config = config
        self.anchors = nn.Parameter(torch.tensor(_ANCHORS))
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
        pose_dim = 6 * (1 + 2 * _ANCHOR_DEGREE)
        pixel_dim = 2 * (1 + 2 * _PIXEL_DEGREE)
        shared_dim = pixel_dim + pose_dim + config.appearance_dim
        self.deformation_mlp = MLP(shared_dim, 32, 32, 2)
        self.torso_mlp = MLP(32 + shared_dim, 32, 32, 4)
        resolution = config.occupancy_resolution
        self.register_buffer("occupancy", torch.zeros(resolution, resolution))
        self.occupancy: Tensor

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
        pose = frequency_encoding(self.encode_pose(head_pose), _ANCHOR_DEGREE)
        per_frame = torch.cat([pose, self.appearance(frame)], dim=1)
        canvas = pixels * _EXTENT
        shared = torch.cat([frequency_encoding(canvas, _PIXEL_DEGREE), per_frame.index_select(0, row)], dim=1)
        deformed = (canvas + self.deformation_mlp(shared)).clamp(-1, 1)
        features = hash_encoding((deformed + 1) / 2, self.table, self.grid)
        values = self.torso_mlp(torch.cat([features, shared], dim=1)).float().sigmoid() * 1.002 - 0.001
        return values[:, 1:], values[:, :1]

    def encode_pose(self, head_pose: Float[Tensor, "frames 3 4"]) -> Float[Tensor, "frames 6"]:
        """Project the anchors onto the normalised image plane (x right, y down, focal length 1)."""
        rotation, position = head_pose[:, :, :3], head_pose[:, :, 3]
        points = self.anchors[:, :3] / self.anchors[:, 3:]
        in_camera = torch.einsum("fwc,fnw->fnc", rotation, points[None] - position[:, None])
        # OpenGL cameras look along -z with y up.
        depth = -in_camera[..., 2:]
        return (in_camera[..., :2] * in_camera.new_tensor([1.0, -1.0]) / depth).flatten(1)

    def anchor_loss(self) -> Float[Tensor, ""]:
        """Keep the homogeneous scale of the anchors near 1."""
        return (1 - self.anchors[:, 3]).square().mean()

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
        threshold = min(0.01, float(self.occupancy.mean()))
        cells = ((pixels + 1) / 2 * (self.config.occupancy_resolution - 1)).round().long()
        return self.occupancy[cells[:, 0], cells[:, 1]] >= threshold
