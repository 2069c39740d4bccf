"""Whether the mouth rests while the sound is silent. Our design, after THEval's silent lip stability.

Source of the idea:
    THEval (arXiv 2511.04520) proposes to judge lips in silence; the definitions here are ours.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int

from ns_talking.audio.levels import LEVEL_RATE_HZ, silent_steps, sound_levels
from ns_talking.data.landmarks import aperture
from ns_talking.metrics.base import Figure, MeasuredFrame, Measurement, MetricContext

_SETTLING_S = 0.12
"""The mouth is still closing this long after the sound ends, and opens this long before it begins."""


class SilenceStability:
    """Opening and motion of the lips in the silences of the driving sound; needs no real frames."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("silence_opening", "silence opening", "eye dist.", "lower", "Mean opening of the lips in silences."),
        Figure("silence_motion", "silence motion", "eye dist./s", "lower", "Mean speed of the opening in silences."),
    )
    needs_real: ClassVar[bool] = False

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._index: list[int] = []
        self._opening: list[float] = []

    def add(self, frame: MeasuredFrame) -> None:
        """Measure the lips of one frame."""
        points = frame.rendered.points
        self._index.append(frame.index)
        self._opening.append(float("nan") if points is None else float(aperture(points[None], self._context.layout)[0]))

    def result(self) -> Measurement:
        """State opening and motion over all silent frames."""
        if self._context.sound is None:
            return self._missing("The sound of these frames is not known.")
        index, opening = np.array(self._index, dtype=int), np.array(self._opening)
        silent = silent_frames(self._context, index)
        rest = opening[silent & np.isfinite(opening)]
        if not len(rest):
            return self._missing("The sound has no silence of half a second, so nothing can be told about rest.")
        steps = np.abs(np.diff(opening)) * self._context.fps
        inside = silent[1:] & silent[:-1] & (np.diff(index) == 1) & np.isfinite(steps)
        values = {"silence_opening": float(rest.mean())}
        if inside.any():
            values["silence_motion"] = float(steps[inside].mean())
        missing = {} if inside.any() else {"silence_motion": "No two silent frames follow each other."}
        return Measurement(values, missing, dict.fromkeys(values, f"{len(rest)} silent frames"))

    def _missing(self, reason: str) -> Measurement:
        return Measurement(missing={figure.key: reason for figure in self.figures})


def silent_frames(context: MetricContext, index: Int[np.ndarray, " frames"]) -> Bool[np.ndarray, " frames"]:
    """Tell the frames that lie well inside a silence of the driving sound.

    Args:
        context: Names the sound.
        index: Positions of the frames in the sound.
    """
    assert context.sound is not None
    span_s = (int(index.max()) + 2) / context.fps
    level, _ = sound_levels(context.sound, context.sound_start_s, span_s)
    silent = np.concatenate([silent_steps(level), np.zeros(1, dtype=bool)])
    margin = round(_SETTLING_S * LEVEL_RATE_HZ)
    steps = np.round(index / context.fps * LEVEL_RATE_HZ).astype(int)
    # Beyond either end of the sound nothing is known, and the last entry stands for that.
    around = steps[:, None] + np.arange(-margin, margin + 1)
    return silent[np.where((around < 0) | (around >= len(level)), len(level), around)].all(axis=1)
