"""ER-NeRF's torso: trainable points, projected by the head's pose, deform a picture of neck and shoulders."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ns_talking.fields.posed_canvas import CanvasSizes, PosedCanvas, PosedCanvasConfig

_ANCHORS = ((0.1, -0.01, 0.01, 1.0), (0.1, 0.1, -0.1, 1.0), (0.1, 0.1, 0.1, 1.0))
"""ER-NeRF's starting anchors, homogeneous, turned from its axes (up, out of the face, right) into ours."""


@dataclass
class TorsoFieldConfig(PosedCanvasConfig):
    """Torso with adaptive pose encoding."""

    _target: type = field(default_factory=lambda: TorsoField)


class TorsoField(PosedCanvas):
    """The torso under a pose that three trainable points express.

    Source:
        ER-NeRF (Li et al., ICCV 2023), section 3.4, adaptive pose encoding.
    """

    def __init__(self, config: TorsoFieldConfig) -> None:
        super().__init__(config, CanvasSizes(pose_degree=3, pixel_degree=8, deformation_dim=32, margin=0.001))
        self.anchors = nn.Parameter(torch.tensor(_ANCHORS))

    def encode_pose(self, head_pose: Float[Tensor, "frames 3 4"]) -> Float[Tensor, "frames 6"]:
        """Project the anchors onto the normalised image plane (x right, y down, focal length 1)."""
        rotation, position = head_pose[:, :, :3], head_pose[:, :, 3]
        points = self.anchors[:, :3] / self.anchors[:, 3:]
        in_camera = torch.einsum("fwc,fnw->fnc", rotation, points[None] - position[:, None])
        # OpenGL cameras look along -z with y up.
        depth = -in_camera[..., 2:]
        in_image = torch.stack([in_camera[..., 0], -in_camera[..., 1]], dim=-1)
        return (in_image / depth).flatten(1)

    def anchor_loss(self) -> Float[Tensor, ""]:
        """Keep the homogeneous scale of the anchors near 1."""
        return (1 - self.anchors[:, 3]).square().mean()
