"""RAD-NeRF's torso: Euler angles and translation of the head deform a picture of neck and shoulders."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from ns_talking.fields.posed_canvas import CanvasSizes, PosedCanvas, PosedCanvasConfig


@dataclass
class EulerTorsoFieldConfig(PosedCanvasConfig):
    """Pseudo-3-D torso."""

    _target: type = field(default_factory=lambda: EulerTorsoField)


class EulerTorsoField(PosedCanvas):
    """The torso under a pose that its angles and its translation express.

    Source:
        RAD-NeRF (Tang et al., 2022), section 3.4. Differs from the released training: angles are measured from the
        frontal view, so that none comes near the place where it turns around.
    """

    def __init__(self, config: EulerTorsoFieldConfig) -> None:
        super().__init__(config, CanvasSizes(pose_degree=4, pixel_degree=10, deformation_dim=64, margin=0.0))

    def encode_pose(self, head_pose: Float[Tensor, "frames 3 4"]) -> Float[Tensor, "frames 6"]:
        """Give the angles X, Y, Z of the camera in radians, R = Rx Ry Rz, and its position in world units.

        Both in the face's axes: x to the image's right, y up, z out of the face.
        """
        x, y, z = head_pose.unbind(dim=1)
        in_face = torch.stack([x, z, -y], dim=1)
        return torch.cat([euler_angles(in_face[:, :, :3]), in_face[:, :, 3]], dim=1)


def euler_angles(rotation: Float[Tensor, "frames 3 3"]) -> Float[Tensor, "frames 3"]:
    """Give the angles X, Y, Z in radians of rotations R = Rx Ry Rz."""
    angles = [
        torch.atan2(-rotation[:, 1, 2], rotation[:, 2, 2]),
        torch.asin(rotation[:, 0, 2].clamp(-1, 1)),
        torch.atan2(-rotation[:, 0, 1], rotation[:, 0, 0]),
    ]
    return torch.stack(angles, dim=1)
