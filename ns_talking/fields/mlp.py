"""The field of AD-NeRF and its heirs: frequency-encoded points and the audio code through one deep network."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.fields.base import FieldCondition, FieldDensity, FieldOfAnyFrame
from ns_talking.kernels.frequency_encoding import frequency_encoding
from ns_talking.modules.decoders import MAX_LOG_DENSITY, ColourMLP


@dataclass
class MLPFieldConfig(InstantiateConfig):
    """Deep network of encoded points."""

    _target: type = field(default_factory=lambda: MLPField)
    octaves: int = 10
    """Octaves that encode the place."""
    num_layers: int = 8
    """Layers of the trunk."""
    geometry_dim: int = 256
    """Width of the trunk, whose last layer is handed to the colour decoder."""
    skip: int = 4
    """Layer behind which the input is handed in again."""
    colour_dim: int = 128
    """Width of the colour decoder."""


class MLPField(nn.Module, FieldOfAnyFrame):
    """Density and colour of points under an audio code and a blink value, which are concatenated to the place.

    Source:
        AD-NeRF (Guo et al., ICCV 2021), which drives NeRF's network by an audio code; SSP-NeRF builds on it. Differs
        from it: the density is the exponential of the output, as in the grid methods, the colour decoder has one
        hidden layer that sees harmonics of the viewing direction, and samples come from the occupancy grid, not from a
        coarse network.

    Args:
        config: Sizes.
        code_dim: Channels of the audio code.
        appearance_dim: Channels of the appearance code.
    """

    def __init__(self, config: MLPFieldConfig, code_dim: int, appearance_dim: int) -> None:
        super().__init__()
        self.config = config
        input_dim = 3 * (1 + 2 * config.octaves) + code_dim + 1
        dims = [input_dim, *[config.geometry_dim] * config.num_layers]
        self.trunk = nn.ModuleList(
            nn.Linear(in_dim + (input_dim if layer == config.skip + 1 else 0), config.geometry_dim)
            for layer, in_dim in enumerate(dims[:-1])
        )
        self.density_layer = nn.Linear(config.geometry_dim, 1)
        self.colour_mlp = ColourMLP(config.geometry_dim, appearance_dim, config.colour_dim)

    def density(self, positions: Float[Tensor, "samples 3"], condition: FieldCondition) -> FieldDensity:
        """Evaluate the density of points in the world; every point listens to the sound alike."""
        row = condition.frame_row
        place = frequency_encoding(positions, self.config.octaves)
        inputs = torch.cat([place, condition.audio_code[row], condition.blink[row, None]], dim=1)
        hidden = inputs
        for layer, linear in enumerate(self.trunk):
            hidden = torch.cat([hidden, inputs], dim=1) if layer == self.config.skip + 1 else hidden
            hidden = F.relu(linear(hidden))
        return FieldDensity(
            density=self.density_layer(hidden)[:, 0].float().clamp(max=MAX_LOG_DENSITY).exp(),
            geometry=hidden,
            features=place,
            audio_attention=torch.ones_like(positions[:, 0]),
            eye_attention=torch.ones_like(positions[:, 0]),
        )

    def colour(
        self,
        geometry: Float[Tensor, "samples geometry"],
        directions: Float[Tensor, "rays harmonics"],
        appearance: Float[Tensor, "rays appearance"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        """Decode the colour of samples; see `ColourMLP`."""
        return self.colour_mlp.decode(geometry, directions, appearance, ray)
