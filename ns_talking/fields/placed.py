"""A field that also tells where in its own frame it found a point, for what is decoded from the place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from ns_talking.fields.base import ConditionedField, FieldCondition, FieldDensity
from ns_talking.fields.wrapped import WrappedField


class PlacedField(WrappedField[ConditionedField]):
    """A field that hands on the places of points. It owns no parameters; subclasses move the points first."""

    def density(self, positions: Float[Tensor, "samples 3"], condition: FieldCondition) -> FieldDensity:
        """Evaluate the density of points in the world."""
        return replace(self.field.density(positions, condition), place=positions.detach())

    def given(self) -> list[Tensor]:
        """List what is built into the field."""
        return self.field.given()

    def with_given(self, given: Sequence[Tensor]) -> PlacedField:
        """Put others in their place."""
        return PlacedField(self.field.with_given(given))
