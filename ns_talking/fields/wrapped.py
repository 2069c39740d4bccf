"""A field around another one, which leaves it everything but the density."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from jaxtyping import Float, Int
from torch import Tensor

from ns_talking.fields.base import ConditionedField

Inner = TypeVar("Inner", bound=ConditionedField)


class WrappedField(Generic[Inner]):
    """Colours and parameters are the inner field's; subclasses tell the density, and what is built into them.

    Args:
        field: The inner field.
    """

    def __init__(self, field: Inner) -> None:
        self.field = field

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
        """List those of the inner field; subclasses add their own."""
        return self.field.parameters()
