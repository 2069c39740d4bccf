"""The two decoders of a grid method: density with a geometry vector, and from that vector the colour."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ns_talking.kernels.linear import linear
from ns_talking.modules.mlp import MLP, through

DIRECTION_DIM = 16
"""Spherical harmonics of degree 4."""
MAX_LOG_DENSITY = 15.0
"""e^15 is opaque at any step; beyond it float32 gradients overflow."""


class DensityMLP(MLP):
    """Decode density and a geometry vector from what is known of a point.

    Source:
        RAD-NeRF (Tang et al., 2022) and ER-NeRF (Li et al., ICCV 2023): the density is the exponential of the first
        output.

    Args:
        input_dim: Channels of spatial features and conditions.
        hidden_dim: Width of both hidden layers.
        geometry_dim: Channels handed on to the colour decoder.
    """

    def __init__(self, input_dim: int, hidden_dim: int, geometry_dim: int) -> None:
        super().__init__(input_dim, hidden_dim, hidden_dim, 1 + geometry_dim)

    def decode(
        self, inputs: Float[Tensor, "samples channels"]
    ) -> tuple[Float[Tensor, " samples"], Float[Tensor, "samples geometry"]]:
        """Give the density per unit of length in the world, and the geometry vector."""
        outputs = self(inputs)
        # In one piece: the gradients of two slices would each be spread over a copy of the whole.
        density, geometry = outputs.split((1, outputs.shape[1] - 1), dim=1)
        return density[:, 0].float().clamp(max=MAX_LOG_DENSITY).exp(), geometry


class ColourMLP(MLP):
    """Decode colour from the geometry vector, the viewing direction and an appearance code.

    Source:
        As above. ER-NeRF stretches the sigmoid by 0.001 on either side, so that black and white are reached.

    Args:
        geometry_dim: Channels from the density decoder.
        appearance_dim: Channels of the appearance code.
        hidden_dim: Width of the hidden layer.
        margin: How far colours may leave [0, 1].
    """

    def __init__(self, geometry_dim: int, appearance_dim: int, hidden_dim: int, margin: float = 0.0) -> None:
        super().__init__(DIRECTION_DIM + geometry_dim + appearance_dim, hidden_dim, 3)
        self._split = (DIRECTION_DIM, geometry_dim, appearance_dim)
        self.margin = margin

    def decode(
        self,
        geometry: Float[Tensor, "samples geometry"],
        directions: Float[Tensor, "rays harmonics"],
        appearance: Float[Tensor, "rays appearance"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        """Decode the colour of samples.

        What depends on the ray alone passes the first layer once per ray, which saves a quarter of the layer, but not
        where another library computes all layers at once.

        Args:
            geometry: From the density decoder.
            directions: Spherical harmonics of the viewing directions.
            appearance: Appearance code of each ray's frame.
            ray: Which ray each sample lies on.
        """
        if self.implementation != "torch":
            inputs = torch.cat([directions[ray], geometry, appearance[ray]], dim=1)
            return self(inputs).sigmoid() * (1 + 2 * self.margin) - self.margin
        first, *rest = self
        assert isinstance(first, nn.Linear)
        direction_weight, geometry_weight, appearance_weight = first.weight.split(self._split, dim=1)
        per_ray = linear(directions, direction_weight) + linear(appearance, appearance_weight)
        hidden = linear(geometry, geometry_weight) + per_ray.index_select(0, ray)
        return through(rest, hidden).sigmoid() * (1 + 2 * self.margin) - self.margin
