"""Every sample looks at a few places besides its own: the ablation of the motion lattice, our design as well."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.fields.base import FieldCondition
from ns_talking.fields.deformed import DeformedField
from ns_talking.fields.triplane import TriplaneField
from ns_talking.modules.mlp import MLP


@dataclass
class DeformableSamplingConfig(InstantiateConfig):
    """Attention of a sample over places of its choice."""

    _target: type = field(default_factory=lambda: DeformableSampling)
    num_places: int = 2
    """Places besides the sample's own; each costs a tri-plane look-up."""
    attention_dim: int = 32
    """Channels of query, keys and values."""
    max_offset: float = 0.15
    """Longest offset along an axis in world units (25 cm)."""


class DeformableSampling(nn.Module):
    """Choose places from a sample's own features and condition, and attend over what is there.

    Source:
        After deformable attention (Zhu et al., "Deformable DETR", ICLR 2021). The last layer begins at zero, so that a
        fresh one changes nothing.

    Args:
        config: Sizes.
        feature_dim: Channels of the features of a place.
        code_dim: Channels of the audio code.
    """

    def __init__(self, config: DeformableSamplingConfig, feature_dim: int, code_dim: int) -> None:
        super().__init__()
        self.config = config
        dim = config.attention_dim
        self.places = MLP(feature_dim + code_dim + 1, 64, 3 * config.num_places)
        self.query = nn.Linear(feature_dim + code_dim, dim, bias=False)
        self.key = nn.Linear(feature_dim, dim, bias=False)
        self.value = nn.Linear(feature_dim, dim, bias=False)
        self.out = nn.Linear(dim, feature_dim, bias=False)
        nn.init.zeros_(self.out.weight)

    def moved(self, field: TriplaneField) -> ResampledField:
        """Give a field as it is seen through this."""
        return ResampledField(field, self)


class ResampledField(DeformedField):
    """A field whose points add to their features those of the places that they attend to.

    Args:
        field: The field at rest.
        sampling: Chooses and weighs places.
    """

    def __init__(self, field: TriplaneField, sampling: DeformableSampling) -> None:
        super().__init__(field)
        self.sampling = sampling

    def fetch(
        self, positions: Float[Tensor, "samples 3"], condition: FieldCondition
    ) -> tuple[Float[Tensor, "samples features"], Float[Tensor, " samples"]]:
        """Fetch own features and those of the chosen places."""
        sampling, row = self.sampling, condition.frame_row
        own = self.field.features_at(positions)
        code, _ = self.field.audio_attention(own, condition.audio_code, row)
        blink, _ = self.field.eye_attention(own, condition.blink, row)
        chosen = sampling.places(torch.cat([own, code, blink], dim=1)).float().tanh() * sampling.config.max_offset
        offsets = chosen.view(len(positions), -1, 3)
        there = self.field.features_at((positions[:, None] + offsets).flatten(0, 1)).view(
            len(positions), -1, own.shape[1]
        )
        everywhere = torch.cat([own[:, None], there], dim=1)
        query = sampling.query(torch.cat([own, code], dim=1))
        scores = torch.einsum("sd,spd->sp", query, sampling.key(everywhere)) / sampling.config.attention_dim**0.5
        weights = scores.softmax(dim=1)
        heard = torch.einsum("sp,spd->sd", weights, sampling.value(everywhere))
        lengths = (offsets.square().sum(dim=2) + 1e-12).sqrt()
        return own + sampling.out(heard), (weights[:, 1:] * lengths).sum(dim=1)

    def parameters(self) -> Iterable[Tensor]:
        """List those of the field and of what chooses places."""
        return [*super().parameters(), *self.sampling.parameters()]
