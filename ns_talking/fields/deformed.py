"""A tri-plane field whose points may show what is stored elsewhere: the face moves, its features stay."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ns_talking.fields.base import FieldCondition, FieldDensity, FieldOfAnyFrame
from ns_talking.fields.triplane import TriplaneField
from ns_talking.fields.wrapped import WrappedField


class DeformedField(WrappedField[TriplaneField], FieldOfAnyFrame, ABC):
    """A field as some frames see it. It owns no parameters and lives as long as these frames.

    Subclasses into which something of these frames is built tell so in `given`, and add the parameters of what deforms
    the field.
    """

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
