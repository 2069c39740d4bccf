"""A field that also tells where in its own frame it found a point, for what is decoded from the place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from jaxtyping import Float, Int
from torch import Tensor

from ns_talking.fields.base import ConditionedField, FieldCondition, FieldDensity


class PlacedField:
    """A field that hands on the places of points. It owns no parameters; subclasses move the points first.

    Args:
        field: The field.
    """

    def __init__(self, field: ConditionedField) -> None:
        self.field = field

    def density(self, positions: Float[Tensor, "samples 3"], condition: FieldCondition) -> FieldDensity:
        """Evaluate the density of points in the world."""
        return replace(self.field.density(positions, condition), place=positions.detach())

    def colour(
        self,
        geometry: Float[Tensor, "samples geometry"],
        directions: Float[Tensor, "rays harmonics"],
        appearance: Float[Tensor, "rays appearance"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        """Decode the colour of points from what `density` handed on."""
        return self.field.colour(geometry, directions, appearance, ray)

    def parameters(self) -> Iterable[Tensor]:
        """List those of the field."""
        return self.field.parameters()

    def given(self) -> list[Tensor]:
        """List what is built into the field."""
        return self.field.given()

    def with_given(self, given: Sequence[Tensor]) -> PlacedField:
        """Put others in their place."""
        return PlacedField(self.field.with_given(given))
