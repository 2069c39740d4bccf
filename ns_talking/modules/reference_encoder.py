"""From reference pictures to maps of features that points in space are projected onto."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.kernels.frequency_encoding import frequency_encoding


@dataclass
class ReferenceEncoderConfig(InstantiateConfig):
    """Sizes of the encoder."""

    _target: type = field(default_factory=lambda: ReferenceEncoder)
    width: int = 64
    """Channels of both convolutions."""
    feature_dim: int = 128
    """Channels of a feature."""
    degree: int = 5
    """Octaves that encode colours and the place of the camera."""
    feature_stride: int = 1
    """Pixels per feature along a side; 1 as in the papers, 2 costs a quarter."""


class ReferenceEncoder(nn.Module):
    """Two convolutions and a linear layer per pixel, over encoded colours and the encoded place of the camera.

    Source:
        DFRF (Shen et al., ECCV 2022), which AE-NeRF's "shallow network without downsampling" stands for.

    Args:
        config: Sizes.
    """

    def __init__(self, config: ReferenceEncoderConfig) -> None:
        super().__init__()
        self.config = config
        encoded = 3 * (1 + 2 * config.degree)
        self.first = nn.Conv2d(2 * encoded, config.width, 3, padding=1)
        self.second = nn.Conv2d(config.width, config.width, 3, padding=1)
        self.last = nn.Conv2d(config.width, config.feature_dim, 1)

    def forward(
        self,
        images: Float[Tensor, "references 3 height width"],
        camera_to_world: Float[Tensor, "references 3 4"],
    ) -> Float[Tensor, "references channels rows columns"]:
        """Encode pictures with colours in [0, 1]."""
        if self.config.feature_stride > 1:
            images = F.avg_pool2d(images, self.config.feature_stride)
        number, _, rows, columns = images.shape
        colours = frequency_encoding(images.permute(0, 2, 3, 1).reshape(-1, 3), self.config.degree)
        colours = colours.view(number, rows, columns, -1).permute(0, 3, 1, 2)
        place = frequency_encoding(camera_to_world[:, :, 3], self.config.degree)
        place = place[:, :, None, None].expand(-1, -1, rows, columns)
        hidden = self.first(torch.cat([colours, place], dim=1)).relu()
        return self.last(self.second(hidden).relu())
