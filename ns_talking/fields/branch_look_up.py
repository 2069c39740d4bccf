"""What each of two fields looks up along its own rays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ns_talking.fields.branches import BranchRays, RayPart
from ns_talking.fields.reference_features import ReferenceFeatures, SeenReferences


@dataclass(frozen=True)
class BranchLookUp:
    """Looks pictures up at points of rays, once for both fields or for each where it draws."""

    look_up: ReferenceFeatures
    seen: SeenReferences
    code: Float[Tensor, "frames code"]
    row: Int[Tensor, " rays"]
    """Which frame's code a ray has."""
    directions: Float[Tensor, "rays 3"]
    asks: RayPart
    """Rays of the field that follows the sound, or of both fields."""
    others: RayPart | None
    """Rays of the field that does not, where it looks up for itself, without the sound; ours."""

    @staticmethod
    def of(
        look_up: ReferenceFeatures,
        seen: SeenReferences,
        code: Float[Tensor, "frames code"],
        row: Int[Tensor, " rays"],
        directions: Float[Tensor, "rays 3"],
        branch_rays: BranchRays,
        apart: bool,
    ) -> BranchLookUp:
        """Choose the rays of each field.

        Args:
            look_up: Looks up.
            seen: The pictures.
            code: Audio codes.
            row: Which of them a ray has.
            directions: Of the rays.
            branch_rays: Which rays each field draws.
            apart: Whether the field that does not follow the sound looks up for itself.
        """
        everything = torch.ones_like(branch_rays.aware)
        asks = RayPart.of(branch_rays.aware if apart else everything)
        return BranchLookUp(
            look_up, seen, code, row, directions, asks, RayPart.of(branch_rays.independent) if apart else None
        )

    def at(
        self, points: Float[Tensor, "rays samples 3"]
    ) -> tuple[
        tuple[Float[Tensor, "rays samples features"], Float[Tensor, "rays samples features"]],
        Float[Tensor, "asked references 2"],
    ]:
        """Look up at points.

        Returns:
            Features for the field that follows the sound and for the other one, zero along rays that a field does not
            draw, and how far the places of the first were moved.
        """
        num_samples = points.shape[1]

        def given(part: RayPart) -> tuple[Tensor, Tensor]:
            asked = part.take(points)
            along = part.take(self.directions)[:, None].expand_as(asked)
            return asked.flatten(0, 1), along.flatten(0, 1)

        def spread(part: RayPart, found: Tensor) -> Tensor:
            return part.spread(found.unflatten(0, (len(part.rows), num_samples)))

        asks, others = self.asks, self.others
        row = asks.take(self.row)[:, None].expand(-1, num_samples).flatten()
        found, offsets = self.look_up(*given(asks), self.code, row, self.seen)
        features = spread(asks, found)
        without = features
        if others is not None:
            without = spread(others, self.look_up.without_sound(*given(others), self.seen))
        return (features, without), offsets[: asks.count * num_samples]
