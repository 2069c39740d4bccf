"""Phases of one training run: head, lips, torso. What a step does depends on its number alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

PhaseName = Literal["head", "lips", "torso"]
TORSO_GROUPS = ("torso", "torso_grid")
"""Groups of parameters that the torso's phase trains; all others rest by then."""


@dataclass(frozen=True)
class Phase:
    """Where a step stands in its phase."""

    name: PhaseName
    step: int
    """Steps since the phase began."""
    num_steps: int
    """Length of the phase."""

    @property
    def progress(self) -> float:
        """Share of the phase that is done, in [0, 1]."""
        return min(self.step / max(self.num_steps, 1), 1.0)

    @property
    def strength(self) -> float:
        """Share of their final weight that growing losses have; the lips phase goes on from 0.8.

        Source:
            The released trainings of RAD-NeRF and ER-NeRF, whose lips stage is the last fifth of all iterations.
        """
        return 0.8 + 0.2 * self.progress if self.name == "lips" else self.progress


@dataclass
class PhasesConfig:
    """Lengths of the phases in steps; another number of iterations stretches all of them alike."""

    head: int = 100_000
    """Steps that train the head on random pixels."""
    lips: int = 25_000
    """Steps that refine lips and texture on patches, with a perceptual loss where its weights are at hand."""
    torso: int = 100_000
    """Steps that train the torso; the head rests."""

    def __post_init__(self) -> None:
        for name in get_args(PhaseName):
            if getattr(self, name) < 0:
                raise ValueError(f"The {name} phase has {getattr(self, name)} steps. Give 0 or more.")
        if self.total == 0:
            raise ValueError("All phases have 0 steps, so nothing would be trained. Give one of them steps.")

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.head + self.lips + self.torso

    def stretched(self, total: int) -> PhasesConfig:
        """Share out another number of steps in the same proportions; a phase with steps keeps at least one."""
        if total < 3:
            raise ValueError(f"A run of {total} iterations has no room for three phases. Give at least 3.")
        factor = total / self.total
        lips = max(round(self.lips * factor), 1) if self.lips else 0
        torso = max(round(self.torso * factor), 1) if self.torso else 0
        return PhasesConfig(head=total - lips - torso, lips=lips, torso=torso)

    def at(self, step: int) -> Phase:
        """Find the phase of a step; steps past the end stay in the last phase."""
        start = 0
        phases: list[tuple[PhaseName, int]] = [("head", self.head), ("lips", self.lips), ("torso", self.torso)]
        phases = [(name, length) for name, length in phases if length]
        for name, length in phases[:-1]:
            if step < start + length:
                return Phase(name, step - start, length)
            start += length
        name, length = phases[-1]
        return Phase(name, step - start, length)
