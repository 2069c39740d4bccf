"""The fully connected network of AD-NeRF's family, with a mask beside density and colour."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

_SHIFT = 1.0
"""Subtracted before the softplus, so that an untrained field is thin."""
_DARKEST = 0.01
"""Colours that are corrected stay this far from black and full, where a correction would have no slope."""


@dataclass
class NeRFMLPConfig(InstantiateConfig):
    """Sizes of the network."""

    _target: type = field(default_factory=lambda: NeRFMLP)
    width: int = 256
    """Channels of a layer."""
    depth: int = 8
    """Layers before density and mask."""
    colour_width: int = 128
    """Channels of a layer of the colour's."""
    colour_depth: int = 3
    """Layers of the colour's before the last."""


class NeRFMLP(nn.Module):
    """Decode density, colour and a mask from what is known of a point.

    Source:
        AD-NeRF (Guo et al., ICCV 2021) and DFRF (Shen et al., ECCV 2022): the input comes back in the middle, colour
        sees the viewing direction as well. Differs from them: the density is a softplus where theirs is a ReLU, which
        dies in small networks. The mask comes from the layers that know no direction; AE-NeRF says only that there is
        a head for it.

    Args:
        config: Sizes.
        input_dim: Channels of the encoded point and its conditions.
        direction_dim: Channels of the encoded viewing direction.
    """

    def __init__(self, config: NeRFMLPConfig, input_dim: int, direction_dim: int) -> None:
        super().__init__()
        self.config = config
        self._again = config.depth // 2 + 1
        """The layer that sees the input again."""
        widths = [input_dim, *[config.width] * (config.depth - 1)]
        self.trunk = nn.ModuleList(
            nn.Linear(width + (input_dim if layer == self._again else 0), config.width)
            for layer, width in enumerate(widths)
        )
        self.density = nn.Linear(config.width, 1)
        self.mask = nn.Linear(config.width, 1)
        colours = [config.width + direction_dim, *[config.colour_width] * config.colour_depth]
        layers: list[nn.Module] = []
        for wide, narrow in zip(colours[:-1], colours[1:], strict=True):
            layers += [nn.Linear(wide, narrow), nn.ReLU()]
        self.colour = nn.Sequential(*layers, nn.Linear(colours[-1], 3))

    def forward(
        self,
        inputs: Float[Tensor, "samples channels"],
        directions: Float[Tensor, "samples encoded"],
        shown: Float[Tensor, "samples 3"] | None = None,
    ) -> tuple[Float[Tensor, " samples"], Float[Tensor, "samples 3"], Float[Tensor, " samples"]]:
        """Give density per world unit, colour in [0, 1] and mask in [0, 1].

        Args:
            inputs: Encoded points and what is known of them.
            directions: Encoded viewing directions.
            shown: Colours in [0, 1] that are corrected; None paints from nothing.
        """
        hidden = inputs
        for layer, linear in enumerate(self.trunk):
            if layer == self._again:
                hidden = torch.cat([hidden, inputs], dim=1)
            hidden = linear(hidden).relu()
        density = F.softplus(self.density(hidden)[:, 0].float() - _SHIFT)
        colour = self.colour(torch.cat([hidden, directions], dim=1)).float()
        if shown is not None:
            colour = colour + torch.logit(shown.float(), eps=_DARKEST)
        return density, colour.sigmoid(), self.mask(hidden)[:, 0].float().sigmoid()
