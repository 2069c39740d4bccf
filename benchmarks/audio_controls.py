"""Sound that does not belong to the picture: lips that follow it anyway prove nothing by moving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ns_talking.audio.base import AudioFeatures, FeatureTable

Part = np.ndarray


def _shift(part: Part, rate_hz: float) -> Part:
    return np.roll(part, round(2 * rate_hz), axis=0)


def _blocks(part: Part, rate_hz: float) -> Part:
    """Exchange blocks of a second so that none stays where it was."""
    blocks = np.array_split(part, max(2, round(len(part) / rate_hz)))
    order = np.random.default_rng(0).permutation(len(blocks))
    moved = np.empty(len(blocks), dtype=int)
    moved[order] = np.roll(order, 1)
    return np.concatenate([blocks[index] for index in moved])


def _reversed(part: Part, rate_hz: float) -> Part:
    del rate_hz
    return part[::-1]


EDITS: dict[str, Callable[[Part, float], Part]] = {"shift": _shift, "blocks": _blocks, "reversed": _reversed}
CONTROLS = (*EDITS, "zero")


def edited(features: FeatureTable, control: str, first_s: float, last_s: float, mean: np.ndarray) -> AudioFeatures:
    """Edit the part of a feature table that drives the evaluated frames.

    Args:
        features: The clip's features.
        control: One of `CONTROLS`: `shift` by 2 s, round the part's end; `blocks` of 1 s exchanged; `reversed` in
            time; `zero`, the mean of the training frames throughout, which is zero after the model's normalisation.
        first_s: Where the part starts.
        last_s: Where it ends.
        mean: Mean of every channel over the training frames.

    Raises:
        ValueError: When the features come cut into windows, which cannot be edited in time.
    """
    if not isinstance(features, AudioFeatures):
        raise ValueError("Controls need a feature table over time; these features were cut into windows beforehand.")
    values = np.array(features.values)
    first, last = round(first_s * features.rate_hz), round(last_s * features.rate_hz)
    if control == "zero":
        values[:] = mean
        return replace(features, values=values, silence=mean.astype(np.float32))
    values[first:last] = EDITS[control](values[first:last], features.rate_hz)
    return replace(features, values=values)
