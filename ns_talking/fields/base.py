"""What a renderer and a field say to each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

F = TypeVar("F")


@dataclass(frozen=True)
class FieldCondition:
    """What drives a field: one row per distinct frame, and the frame and the ray of every sample."""

    audio_code: Float[Tensor, "frames code"]
    blink: Float[Tensor, " frames"]
    """What drives the eyes, as the method measures it: from 0 open to 1 closed, or the area of the eyes."""
    frame_row: Int[Tensor, " samples"]
    """Row of the frame that a sample belongs to."""


@dataclass(frozen=True)
class FieldDensity:
    """Density of every sample with what the colour decoder and the losses need besides."""

    density: Float[Tensor, " samples"]
    """Per unit of length in the world."""
    geometry: Float[Tensor, "samples geometry"]
    features: Float[Tensor, "samples features"]
    audio_attention: Float[Tensor, " samples"]
    """How strongly a point follows the sound, >= 0."""
    eye_attention: Float[Tensor, " samples"]
    """How strongly a point follows the blink, in [0, 1]."""
    shift: Float[Tensor, " samples"] | None = None
    """How far away, in world units, a field that moves its geometry found a point's features."""
    torso_share: Float[Tensor, " samples"] | None = None
    """How much a point moves as the torso does, 0 as the head to 1, in a field that shows both."""
    place: Float[Tensor, "samples 3"] | None = None
    """Where in its own frame the field found the point, where something is decoded from that; without gradients."""


@runtime_checkable
class ConditionedField(Protocol):
    """A field of the grid methods: density first, colour where it is worth it."""

    def density(self, positions: Float[Tensor, "samples 3"], condition: FieldCondition) -> FieldDensity:
        """Evaluate the density of points in the world."""
        ...

    def colour(
        self,
        geometry: Float[Tensor, "samples geometry"],
        directions: Float[Tensor, "rays harmonics"],
        appearance: Float[Tensor, "rays appearance"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        """Decode the colour of points from what `density` handed on."""
        ...

    def parameters(self) -> Iterable[Tensor]:
        """List every leaf that gradients through the field shall reach."""
        ...

    def given(self) -> list[Tensor]:
        """List what was computed for the frames that it is asked about, and has gradients that lead further back."""
        ...

    def with_given(self, given: Sequence[Tensor]) -> ConditionedField:
        """Give the same field with other tensors in the place of these."""
        ...


class FieldOfAnyFrame:
    """A field into which nothing is built that belongs to some frames."""

    def given(self) -> list[Tensor]:
        """List nothing."""
        return []

    def with_given(self: F, given: Sequence[Tensor]) -> F:
        """Give the field itself."""
        del given
        return self
