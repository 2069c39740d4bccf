"""Which class a point belongs to, and what is behind everything: the parsing branch of a field."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ns_talking.kernels.frequency_encoding import frequency_encoding
from ns_talking.modules.mlp import MLP

_BEHIND = 5.0
"""Logit of the background at the start, behind all samples."""


class ParsingHead(nn.Module):
    """Logits of the classes of points, composited along rays.

    Source:
        SSP-NeRF (Liu et al., ECCV 2022), implicit portrait parsing: logits are rendered like colour, and the softmax is
        taken behind the sum. Where its last sample holds the background, we keep one learned vector for all rays; it is
        through that vector alone that parsing makes a person opaque and the rest clear. The paper decodes the trunk's
        features alone; the place of the point beside them is ours: what is skin and what is hair hardly depends on what
        is said, and features that have to tell both tell neither sharply.

    Args:
        geometry_dim: Channels that a field hands to its decoders, before the viewing direction enters.
        num_classes: Classes; the first one is the background.
        hidden_dim: Width of the hidden layer.
        place_octaves: Octaves that encode the place of a point; 0 decodes it from the geometry alone.
    """

    def __init__(self, geometry_dim: int, num_classes: int, hidden_dim: int = 32, place_octaves: int = 0) -> None:
        super().__init__()
        self.place_octaves = place_octaves
        place_dim = 3 * (1 + 2 * place_octaves) if place_octaves else 0
        self.mlp = MLP(geometry_dim + place_dim, hidden_dim, num_classes)
        self.behind = nn.Parameter(torch.eye(num_classes)[0] * _BEHIND)

    def forward(
        self, geometry: Float[Tensor, "samples geometry"], place: Float[Tensor, "samples 3"] | None = None
    ) -> Float[Tensor, "samples classes"]:
        """Decode the logits of samples; `place` is read where octaves encode it."""
        if self.place_octaves:
            assert place is not None
            encoded = frequency_encoding(place, self.place_octaves)
            geometry = torch.cat([geometry, encoded.to(geometry.dtype)], dim=1)
        return self.mlp(geometry)

    def over_background(
        self, logits: Float[Tensor, "rays classes"], accumulation: Float[Tensor, "rays 1"]
    ) -> Float[Tensor, "rays classes"]:
        """Put the background behind composited logits."""
        return logits + (1 - accumulation) * self.behind
