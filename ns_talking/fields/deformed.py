"""A tri-plane field whose points may show what is stored elsewhere: the face moves, its features stay."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ns_talking.fields.base import FieldCondition, FieldDensity, FieldOfAnyFrame
from ns_talking.fields.triplane import TriplaneField


class DeformedField(ABC, FieldOfAnyFrame):
    """A field as some frames see it. It owns no parameters and lives as long as these frames.

    Subclasses into which something of these frames is built tell so in `given`.

    Args:
        field: The field at rest.
    """

    def __init__(self, field: TriplaneField) -> None:
        self.field = field

    @abstractmethod
    def fetch(
        self, positions: Float[Tensor, "samples 3"], condition: FieldCondition
    ) -> tuple[Float[Tensor, "samples features"], Float[Tensor, " samples"] | None]:
        """Find the features that points show.

        Returns:
            Features in place of the points' own, and how far away they were found, in world units; None where nobody
            learns from that.
        """

    def roughness(self) -> Float[Tensor, ""]:
        """Tell how much neighbouring deformations differ; 0 where nothing is deformed jointly."""
        return torch.zeros((), device=self.field.planes.device)

    def density(self, positions: Float[Tensor, "samples 3"], condition: FieldCondition) -> FieldDensity:
        """Evaluate the density of points in the world."""
        features, shift = self.fetch(positions, condition)
        return replace(self.field.decode(features, condition), shift=shift)

    def colour(
        self,
        geometry: Float[Tensor, "samples geometry"],
        directions: Float[Tensor, "rays harmonics"],
        appearance: Float[Tensor, "rays appearance"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        """Decode the colour of samples; see `ColourMLP`."""
        return self.field.colour(geometry, directions, appearance, ray)

    def parameters(self) -> Iterable[Tensor]:
        """List those of the field at rest; subclasses add those of what deforms it."""
        return self.field.parameters()
