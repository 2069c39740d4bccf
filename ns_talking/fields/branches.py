"""A face in two fields: one that follows the sound, one that does not, mixed by the masks that they draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.kernels.frequency_encoding import frequency_encoding
from ns_talking.modules.nerf_mlp import NeRFMLP, NeRFMLPConfig


@dataclass
class BranchesConfig(InstantiateConfig):
    """One field or two."""

    _target: type = field(default_factory=lambda: Branches)
    network: NeRFMLPConfig = field(default_factory=NeRFMLPConfig)
    """Sizes of each network."""
    two: bool = True
    """Whether a second field, that is not told the sound, draws what does not follow it (AE-NeRF); else one field draws
    everything (DFRF)."""
    normalise_masks: bool = True
    """Whether the masks of both fields are scaled to a sum of 1 before colours are mixed. The paper does not say so,
    and without it the border of the regions is too bright or too dark."""
    position_degree: int = 10
    """Octaves that encode points."""
    direction_degree: int = 4
    """Octaves that encode viewing directions."""


@dataclass(frozen=True)
class RayPart:
    """Some of the rays, side by side, and where they belong."""

    rows: Int[Tensor, " part"]
    """Rays of the part."""
    num_rays: int
    """Of how many."""

    @staticmethod
    def of(wanted: Bool[Tensor, " rays"]) -> RayPart:
        """Take the rays that are wanted."""
        return RayPart(wanted.nonzero()[:, 0], len(wanted))

    def __len__(self) -> int:
        """Count the rays of the part."""
        return len(self.rows)

    def take(self, values: Tensor) -> Tensor:
        """Give the values of the part's rays."""
        return values if len(self) == self.num_rays else values.index_select(0, self.rows)

    def spread(self, values: Tensor) -> Tensor:
        """Bring values of the part's rays back to where they belong; the others get zeros."""
        if len(self) == self.num_rays:
            return values
        return values.new_zeros(self.num_rays, *values.shape[1:]).index_copy(0, self.rows, values)


@dataclass(frozen=True)
class BranchRays:
    """Which rays each field draws; where both do, they are mixed."""

    aware: Bool[Tensor, " rays"]
    """By the field that follows the sound."""
    independent: Bool[Tensor, " rays"]
    """By the field that does not."""

    @cached_property
    def parts(self) -> tuple[RayPart, RayPart]:
        """Rays of the field that follows the sound, and of the other."""
        return RayPart.of(self.aware), RayPart.of(self.independent)

    @staticmethod
    def all_of_both(like: Tensor) -> BranchRays:
        """Let both fields draw every ray: as pictures are rendered."""
        both = torch.ones(len(like), dtype=torch.bool, device=like.device)
        return BranchRays(both, both)


@dataclass(frozen=True)
class BranchSamples:
    """What the fields say of samples."""

    density: Float[Tensor, "rays samples"]
    """Of both fields together."""
    rgb: Float[Tensor, "rays samples 3"]
    """Mixed colour."""
    follows: Float[Tensor, "rays samples"]
    """Share of the field that follows the sound, in [0, 1]."""
    own_density: Float[Tensor, "rays samples fields"]
    """Of each field, 0 where it was not asked."""
    own_mask: Float[Tensor, "rays samples fields"]
    """The mask that each field draws, in [0, 1], 0 where it was not asked."""


class Branches(nn.Module):
    """The fields of a head at one level of detail.

    Source:
        AE-NeRF (Li et al., AAAI 2024): density is the sum over both fields, colour the sum weighed by their masks.
        Differs from it where `normalise_masks` says so. The blink, where it is given, is our addition.

    Args:
        config: One or two, and their sizes.
        code_dim: Channels of an audio code.
        feature_dim: Channels of what the references know of a point.
        num_controls: Further numbers per frame that drive the face; 0 or 1 for the blink.
        corrects: Whether the last three channels of the features are colours that the fields correct.
    """

    def __init__(
        self, config: BranchesConfig, code_dim: int, feature_dim: int, num_controls: int, corrects: bool = False
    ) -> None:
        super().__init__()
        self.config = config
        self.corrects = corrects
        known = 3 * (1 + 2 * config.position_degree) + feature_dim + num_controls
        direction_dim = 3 * (1 + 2 * config.direction_degree)
        self.aware: NeRFMLP = config.network.setup(input_dim=known + code_dim, direction_dim=direction_dim)
        self.independent: NeRFMLP | None = None
        if config.two:
            self.independent = config.network.setup(input_dim=known, direction_dim=direction_dim)

    def forward(
        self,
        points: Float[Tensor, "rays samples 3"],
        directions: Float[Tensor, "rays 3"],
        features: tuple[Float[Tensor, "aware samples channels"], Float[Tensor, "independent samples channels"]],
        code: Float[Tensor, "rays code"],
        controls: Float[Tensor, "rays controls"],
        drawn: BranchRays,
    ) -> BranchSamples:
        """Ask the fields.

        Args:
            points: Samples in world units.
            directions: Unit vectors.
            features: What the references know of the samples along the rays of each field.
            code: Audio code of each ray's frame.
            controls: Blink of each ray's frame, where it drives the face.
            drawn: Which field draws which ray; where there is one field, its part counts.
        """
        config = self.config
        place = frequency_encoding(points.flatten(0, 1), config.position_degree).unflatten(0, points.shape[:2])
        towards = frequency_encoding(directions, config.direction_degree)
        told = torch.cat([controls, code.to(controls.dtype)], dim=1)
        if self.independent is None:
            density, rgb, mask = self._asked(self.aware, place, features[0], told, towards, drawn.parts[0])
            return BranchSamples(density, rgb, torch.ones_like(density), density[..., None], mask[..., None])
        aware = self._asked(self.aware, place, features[0], told, towards, drawn.parts[0])
        independent = self._asked(self.independent, place, features[1], controls, towards, drawn.parts[1])
        both = (drawn.aware & drawn.independent)[:, None]
        of_aware, of_independent = aware[2], independent[2]
        if config.normalise_masks:
            total = (of_aware + of_independent).clamp(min=1e-6)
            of_aware, of_independent = of_aware / total, of_independent / total
        # Where one field draws alone, its colour counts in full.
        of_aware = torch.where(both, of_aware, drawn.aware[:, None].to(of_aware))
        of_independent = torch.where(both, of_independent, drawn.independent[:, None].to(of_independent))
        return BranchSamples(
            density=aware[0] + independent[0],
            rgb=of_aware[..., None] * aware[1] + of_independent[..., None] * independent[1],
            follows=of_aware,
            own_density=torch.stack([aware[0], independent[0]], dim=2),
            own_mask=torch.stack([aware[2], independent[2]], dim=2),
        )

    def _asked(
        self,
        network: NeRFMLP,
        place: Float[Tensor, "rays samples encoded"],
        features: Float[Tensor, "part samples channels"],
        told: Float[Tensor, "rays conditions"],
        directions: Float[Tensor, "rays towards"],
        part: RayPart,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate a network on some of the rays; the others get zeros."""
        num_samples = place.shape[1]
        told_along = _along(part.take(told).to(place.dtype), num_samples)
        known = torch.cat([part.take(place), features.to(place.dtype), told_along], dim=2)
        shown = features[..., -3:].flatten(0, 1) if self.corrects else None
        found = network(known.flatten(0, 1), _along(part.take(directions), num_samples).flatten(0, 1), shown)
        density, rgb, mask = (part.spread(values.view(-1, num_samples, *values.shape[1:])) for values in found)
        return density, rgb, mask


def split_rays(lower_half: Bool[Tensor, " rays"], overlap: float, chance: Float[Tensor, " rays"]) -> BranchRays:
    """Send the rays of the lower half of the face to one field, the others to the other, and a share of each to both.

    Source:
        AE-NeRF's region-wise ray sampling; 1 + `overlap` passes per ray instead of two.

    Args:
        lower_half: Which rays meet the lower half of the face.
        overlap: Share of each region that both fields draw.
        chance: Uniform in [0, 1).
    """
    both = chance < overlap
    return BranchRays(lower_half | both, ~lower_half | both)


def _along(values: Float[Tensor, "rays channels"], num_samples: int) -> Float[Tensor, "rays samples channels"]:
    return values[:, None].expand(-1, num_samples, -1)
