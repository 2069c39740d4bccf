"""Sound that does not belong to the picture: lips that follow it anyway prove nothing by moving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ns_talking.audio.base import AudioFeatures, FeatureTable

Part = Float[np.ndarray, "steps channels"]
_SHIFT_S = 2.0


@dataclass(frozen=True)
class EditedFeatures:
    """A feature table of which one part is replaced; the rest stays where it lies, perhaps on disk."""

    whole: AudioFeatures
    first: int
    """Step at which the replaced part begins."""
    part: Part

    @property
    def name(self) -> str:
        """Name of the features."""
        return self.whole.name

    @property
    def identity(self) -> str:
        """Which extractor made them."""
        return self.whole.identity

    @property
    def channels(self) -> int:
        """Numbers per step."""
        return self.whole.channels

    @property
    def window(self) -> int:
        """Steps per window."""
        return self.whole.window

    @property
    def duration_s(self) -> float:
        """Length of the sound in seconds."""
        return self.whole.duration_s

    def steps_per_frame(self, fps: float) -> int | None:
        """Count the steps from the window of one frame to that of the next; None where it is no whole number."""
        return self.whole.steps_per_frame(fps)

    def windows(self, centres_s: Float[np.ndarray, " frames"]) -> Float[np.ndarray, "frames channels window"]:
        """Cut one window around each instant, as the whole table does."""
        rows = self.whole.windows(centres_s).transpose(0, 2, 1)
        start = np.floor(np.asarray(centres_s, dtype=np.float64) * self.whole.rate_hz + 0.5).astype(np.int64)
        steps = start[:, None] - self.window // 2 + np.arange(self.window) - self.first
        replaced = (steps >= 0) & (steps < len(self.part))
        rows[replaced] = self.part[steps[replaced]]
        return np.ascontiguousarray(rows.transpose(0, 2, 1))


def _shift(part: Part, table: AudioFeatures) -> Part:
    """Shift by two seconds, round the part's end; by half of a part that is shorter than four."""
    return np.roll(part, min(round(_SHIFT_S * table.rate_hz), len(part) // 2), axis=0)


def _shuffle(part: Part, table: AudioFeatures) -> Part:
    """Exchange blocks of a second so that none stays where it was."""
    blocks = np.array_split(part, max(2, round(len(part) / table.rate_hz)))
    order = np.random.default_rng(0).permutation(len(blocks))
    moved = np.empty(len(blocks), dtype=int)
    moved[order] = np.roll(order, 1)
    return np.concatenate([blocks[index] for index in moved])


def _reverse(part: Part, table: AudioFeatures) -> Part:
    del table
    return part[::-1]


def _silence(part: Part, table: AudioFeatures) -> Part:
    """What the extractor gives for digital silence."""
    return np.broadcast_to(table.silence.astype(np.float32), part.shape)


def _mean(part: Part, table: AudioFeatures) -> Part:
    """The mean of the whole clip, which is zero after a model's normalisation."""
    total = np.zeros(table.channels)
    for start in range(0, len(table.values), 10_000):
        total += table.values[start : start + 10_000].sum(axis=0)
    return np.broadcast_to((total / len(table.values)).astype(np.float32), part.shape)


EDITS: dict[str, Callable[[Part, AudioFeatures], Part]] = {
    "shifted": _shift,
    "shuffled": _shuffle,
    "reversed": _reverse,
    "silenced": _silence,
    "mean-sound": _mean,
}


def edited(features: FeatureTable, control: str, first_s: float, last_s: float) -> EditedFeatures:
    """Edit the part of a feature table that drives the evaluated frames.

    Args:
        features: The features.
        control: One of `EDITS`.
        first_s: Where the part starts.
        last_s: Where it ends.

    Raises:
        ValueError: When the features come cut into windows, which cannot be edited in time.
    """
    if not isinstance(features, AudioFeatures):
        raise ValueError(
            "Wrong sound needs features over time; those of this dataset were cut into windows by another tool."
        )
    first = max(0, round(first_s * features.rate_hz))
    # What windows of the last frames hear lies beyond them.
    last = min(len(features.values), round(last_s * features.rate_hz))
    part = np.array(features.values[first:last])
    return EditedFeatures(features, first, EDITS[control](part, features))
