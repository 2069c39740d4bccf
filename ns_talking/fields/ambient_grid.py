"""RAD-NeRF's field: a grid in space, and a second grid in a plane that sound and place together point into."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.fields.base import FieldCondition, FieldDensity, FieldOfAnyFrame
from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.hash_encoding import hash_encoding
from ns_talking.modules.decoders import ColourMLP, DensityMLP
from ns_talking.modules.mlp import MLP, HasImplementation


@dataclass
class AmbientGridFieldConfig(InstantiateConfig):
    """Decomposed audio-spatial encoding."""

    _target: type = field(default_factory=lambda: AmbientGridField)
    num_levels: int = 16
    """Resolutions of both grids."""
    features_per_level: int = 2
    """Channels per resolution."""
    base_resolution: int = 16
    """Cells along a side of the coarsest level, over the cube [-1, 1]."""
    finest_resolution: int = 2048
    """Cells along a side of the finest level."""
    log2_table_size: int = 16
    """Binary logarithm of the entries per level; larger grids are tiled into it."""
    hidden_dim: int = 64
    """Width of the networks."""
    geometry_dim: int = 64
    """Channels handed from the density to the colour decoder."""


class AmbientGridField(nn.Module, HasImplementation, FieldOfAnyFrame):
    """Density and colour of points in the cube [-1, 1]^3 under an audio code and the area of the eyes.

    Source:
        RAD-NeRF (Tang et al., 2022), sections 3.2 and 3.3: the features of a point in a tiled 3-D grid and the audio
        code give ambient coordinates in [-1, 1]^2, and these give further features from a tiled 2-D grid. The eyes'
        area reaches every point alike.

    Args:
        config: Sizes.
        code_dim: Channels of the audio code.
        appearance_dim: Channels of the appearance code.
    """

    def __init__(self, config: AmbientGridFieldConfig, code_dim: int, appearance_dim: int) -> None:
        super().__init__()
        self.config = config

        def geometry(dimensions: int) -> GridGeometry:
            return GridGeometry(
                dimensions=dimensions,  # pyright: ignore[reportArgumentType] # 2 or 3, below.
                num_levels=config.num_levels,
                features_per_level=config.features_per_level,
                base_resolution=config.base_resolution,
                finest_resolution=config.finest_resolution,
                log2_table_size=config.log2_table_size,
                kind="tiled",
            )

        self.space_grid, self.ambient_grid = geometry(3), geometry(2)
        self.space = _table(self.space_grid)
        self.ambient = _table(self.ambient_grid)
        width, feature_dim = config.hidden_dim, self.space_grid.output_dim
        self.ambient_mlp = MLP(feature_dim + code_dim, width, width, 2)
        self.density_mlp = DensityMLP(feature_dim + self.ambient_grid.output_dim + 1, width, config.geometry_dim)
        self.colour_mlp = ColourMLP(config.geometry_dim, appearance_dim, width)

    def density(self, positions: Float[Tensor, "samples 3"], condition: FieldCondition) -> FieldDensity:
        """Evaluate the density of points.

        The strength of attention to sound is the absolute sum of the ambient coordinates: where it is zero, the sound
        changes nothing.

        Args:
            positions: Points in the world; those outside the cube have no features.
            condition: Audio code and area of the eyes of their frames.
        """
        row = condition.frame_row
        encode = hash_encoding.by(self.implementation)
        features = encode((positions + 1) / 2, self.space, self.space_grid)
        ambient = self.ambient_mlp(torch.cat([features, condition.audio_code.index_select(0, row)], dim=1)).tanh()
        heard = encode((ambient + 1) / 2, self.ambient, self.ambient_grid)
        eyes = condition.blink.index_select(0, row)[:, None]
        density, geometry = self.density_mlp.decode(torch.cat([features, heard, eyes], dim=1))
        return FieldDensity(
            density=density,
            geometry=geometry,
            features=features,
            audio_attention=ambient.abs().sum(dim=1),
            eye_attention=torch.ones_like(density),
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


def _table(grid: GridGeometry) -> nn.Parameter:
    return nn.Parameter(torch.empty(grid.num_entries, grid.features_per_level).uniform_(-1e-4, 1e-4))
