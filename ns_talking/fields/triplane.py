"""ER-NeRF's field: three planes of hashed features, region attention, and two small decoders."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.fields.base import FieldCondition, FieldDensity, FieldOfAnyFrame
from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.triplane_encoding import triplane_encoding
from ns_talking.modules.decoders import ColourMLP, DensityMLP
from ns_talking.modules.mlp import MLP, HasImplementation
from ns_talking.modules.region_attention import AudioRegionAttention, EyeRegionAttention


@dataclass
class TriplaneFieldConfig(InstantiateConfig):
    """Tri-plane hash representation with region attention."""

    _target: type = field(default_factory=lambda: TriplaneField)
    num_levels: int = 12
    """Resolutions per plane."""
    features_per_level: int = 1
    """Channels per resolution."""
    base_resolution: int = 64
    """Cells along a side of the coarsest level, over the cube [-1, 1]."""
    finest_resolution: int = 512
    """Cells along a side of the finest level."""
    log2_table_size: int = 14
    """Binary logarithm of the entries per level; larger grids are hashed into it."""
    hidden_dim: int = 64
    """Width of the decoders."""
    geometry_dim: int = 64
    """Channels handed from the density to the colour decoder."""


class TriplaneField(nn.Module, HasImplementation, FieldOfAnyFrame):
    """Density and colour of points in the cube [-1, 1]^3 under an audio code and a blink value.

    Source:
        ER-NeRF (Li et al., ICCV 2023), sections 3.2 and 3.3. The planes are XY, YZ and XZ with 12 levels (the paper
        says 14; its published file size and the released configuration give 12).

    Args:
        config: Sizes.
        code_dim: Channels of the audio code.
        appearance_dim: Channels of the appearance code.
    """

    def __init__(self, config: TriplaneFieldConfig, code_dim: int, appearance_dim: int) -> None:
        super().__init__()
        self.config = config
        self.grid = GridGeometry(
            dimensions=2,
            num_levels=config.num_levels,
            features_per_level=config.features_per_level,
            base_resolution=config.base_resolution,
            finest_resolution=config.finest_resolution,
            log2_table_size=config.log2_table_size,
            kind="hash",
        )
        self.planes = nn.Parameter(
            torch.empty(3, self.grid.num_entries, config.features_per_level).uniform_(-1e-4, 1e-4)
        )
        feature_dim = 3 * self.grid.output_dim
        self.feature_dim = feature_dim
        """Channels of a point's features."""
        self.audio_attention = AudioRegionAttention(feature_dim, code_dim)
        self.eye_attention = EyeRegionAttention(feature_dim)
        self.density_mlp = DensityMLP(feature_dim + code_dim + 1, config.hidden_dim, config.geometry_dim)
        self.colour_mlp = ColourMLP(config.geometry_dim, appearance_dim, config.hidden_dim, margin=0.001)
        self.uncertainty_mlp = MLP(feature_dim, 32, 1)

    def density(self, positions: Float[Tensor, "samples 3"], condition: FieldCondition) -> FieldDensity:
        """Evaluate the density of points.

        Args:
            positions: Points in the world; those outside the cube have no features.
            condition: Audio code and blink of their frames.
        """
        return self.decode(self.features_at(positions), condition)

    def features_at(self, positions: Float[Tensor, "samples 3"]) -> Float[Tensor, "samples features"]:
        """Look up the features of points in the world."""
        return triplane_encoding.by(self.implementation)((positions + 1) / 2, self.planes, self.grid)

    def decode(self, features: Float[Tensor, "samples features"], condition: FieldCondition) -> FieldDensity:
        """Evaluate the density of points from their features."""
        code, audio_attention = self.audio_attention(features, condition.audio_code, condition.frame_row)
        blink, eye_attention = self.eye_attention(features, condition.blink, condition.frame_row)
        density, geometry = self.density_mlp.decode(torch.cat([features, code, blink], dim=1))
        return FieldDensity(
            density=density,
            geometry=geometry,
            features=features,
            audio_attention=audio_attention,
            eye_attention=eye_attention,
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

    def uncertainty(self, features: Float[Tensor, "samples features"]) -> Float[Tensor, " samples"]:
        """Tell how unpredictable a point's colour is, >= 0; it shapes the planes in no way."""
        return F.softplus(self.uncertainty_mlp(features.detach())[:, 0])
