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
    code: Float[Tensor, "codes code"]
    """Of the frames; where fields look up apart, the mean of the references' sounds is the last one."""
    row: Int[Tensor, " asked"]
    """Which code each ray that is asked about has."""
    directions: Float[Tensor, "asked 3"]
    asked: tuple[RayPart, ...]
    """Rays of each field where they look up apart, else all rays: they are asked about one part after the other."""
    drawn: BranchRays

    @staticmethod
    def of(
        look_up: ReferenceFeatures,
        seen: SeenReferences,
        code: Float[Tensor, "frames code"],
        row: Int[Tensor, " rays"],
        directions: Float[Tensor, "rays 3"],
        drawn: BranchRays,
        apart: bool,
    ) -> BranchLookUp:
        """Choose the rays.

        Args:
            look_up: Looks up.
            seen: The pictures.
            code: Audio codes.
            row: Which of them a ray has.
            directions: Of the rays.
            drawn: Which rays each field draws.
            apart: Whether the field that does not follow the sound looks up for itself, as if the mean of the
                references' sounds were heard; ours.
        """
        if not apart:
            everything = RayPart.of(torch.ones_like(drawn.aware))
            return BranchLookUp(look_up, seen, code, row, directions, (everything,), drawn)
        aware, independent = drawn.parts
        codes = torch.cat([code, seen.codes.mean(dim=0, keepdim=True).to(code)])
        of_mean = row.new_full((len(independent),), len(code))
        rows = torch.cat([aware.take(row), of_mean])
        along = torch.cat([part.take(directions) for part in drawn.parts])
        return BranchLookUp(look_up, seen, codes, rows, along, drawn.parts, drawn)

    def at(
        self, points: Float[Tensor, "rays samples 3"]
    ) -> tuple[tuple[Float[Tensor, "_ samples features"], ...], Float[Tensor, "first references 2"]]:
        """Look up at points.

        Returns:
            Features of each part that is asked about, and how far the places of the first one were moved.
        """
        num_samples = points.shape[1]
        places = torch.cat([part.take(points) for part in self.asked])
        along = self.directions[:, None].expand_as(places)
        row = self.row[:, None].expand(-1, num_samples)
        found, offsets = self.look_up(places.flatten(0, 1), along.flatten(0, 1), self.code, row.flatten(), self.seen)
        parts = found.unflatten(0, (-1, num_samples)).split([len(part) for part in self.asked])
        return parts, offsets[: len(self.asked[0]) * num_samples]

    def in_order(
        self,
        found: tuple[Float[Tensor, "_ samples features"], ...],
        more: tuple[Float[Tensor, "_ added features"], ...],
        order: Int[Tensor, "rays all"],
    ) -> tuple[Float[Tensor, "_ all features"], ...]:
        """Join what was found at two sets of points, in the order of all points along their rays."""
        parts = zip(found, more, self.asked, strict=True)
        return tuple(in_order(first, second, part.take(order)) for first, second, part in parts)

    def of_fields(
        self, found: tuple[Float[Tensor, "_ samples features"], ...]
    ) -> tuple[Float[Tensor, "aware samples features"], Float[Tensor, "independent samples features"]]:
        """Give each field the features along its own rays."""
        if len(found) == 1:
            found = tuple(part.take(found[0]) for part in self.drawn.parts)
        aware, independent = found
        return aware, independent


def in_order(
    first: Float[Tensor, "rays samples channels"],
    second: Float[Tensor, "rays added channels"],
    order: Int[Tensor, "rays all"],
) -> Float[Tensor, "rays all channels"]:
    """Join values at two sets of points, in the order of all points along their rays."""
    both = torch.cat([first, second], dim=1)
    return both.gather(1, order[..., None].expand_as(both))
