"""Whether the mouth rests while the sound is silent. Our design, after THEval's silent lip stability.

Source of the idea:
    THEval (arXiv 2511.04520) proposes to judge lips in silence; the definitions here are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from ns_talking.audio.io import SAMPLE_RATE_HZ, stream_audio
from ns_talking.audio.voice_activity import voice_activity
from ns_talking.data.landmarks import aperture
from ns_talking.metrics.base import Figure, MeasuredFrame, Measurement, MetricContext


class SilenceStability:
    """Opening and motion of the lips in the pauses of the driving sound; needs no real frames."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure(
            "silence_opening", "silence opening", "eye dist.", "lower", "Mean opening of the lips in pauses of speech."
        ),
        Figure("silence_motion", "silence motion", "eye dist./s", "lower", "Mean speed of the opening in pauses."),
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
            return self._missing("These frames have no pause of the speech, so nothing can be told about rest.")
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
    """Tell the frames that lie well inside a pause: where nobody speaks by the sound's own levels, noise or not.

    Args:
        context: Names the sound.
        index: Positions of the frames in the sound.
    """
    sound, num_samples = context.sound, 0
    assert sound is not None
    num_frames = int(index.max()) + 1

    def heard() -> Iterator[Float[np.ndarray, " samples"]]:
        nonlocal num_samples
        for block in stream_audio(sound, start_s=context.sound_start_s):
            num_samples += len(block)
            yield block

    # Half of it is reached where speech, widened by the time that lips open before it and close behind, has its edge.
    pause = voice_activity(heard(), num_frames, context.fps) < 0.5
    # Beyond the end of the sound nothing is known, which is no pause.
    return (pause & (np.arange(num_frames) / context.fps < num_samples / SAMPLE_RATE_HZ))[index]
