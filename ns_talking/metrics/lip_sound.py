"""How lips and loudness go together: synchrony without weights and without real frames. Our design."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from ns_talking.audio.levels import LEVEL_RATE_HZ, sound_levels
from ns_talking.data.landmarks import aperture
from ns_talking.metrics.base import Figure, MeasuredFrame, Measurement, MetricContext

_MAX_LAG_S = 0.4


def lip_sound_lag(
    opening: Float[np.ndarray, " frames"], level_db: Float[np.ndarray, " steps"], fps: float
) -> tuple[Float[np.ndarray, " lags"], Float[np.ndarray, " lags"]]:
    """Correlate how far the lips are open with how loud the sound is, over lags of the sound.

    Both are reduced to the rhythm of syllables first (slower than 8 Hz, faster than 1 Hz), because slow changes of
    pose or loudness would correlate at any lag.

    Returns:
        Lags in seconds, positive where the sound is late, and the correlation at each; 0 without sound or movement.
    """
    lags = np.arange(round(-_MAX_LAG_S * LEVEL_RATE_HZ), round(_MAX_LAG_S * LEVEL_RATE_HZ) + 1)
    known = np.flatnonzero(np.isfinite(opening))
    instants = np.arange(len(level_db)) / LEVEL_RATE_HZ
    if len(known) < 2 or len(level_db) <= 4 * len(lags):
        return lags / LEVEL_RATE_HZ, np.zeros(len(lags))
    lips = _rhythm(np.interp(instants, known / fps, opening[known]))
    sound = _rhythm(np.maximum(level_db, np.percentile(level_db, 95) - 40))
    curve = np.zeros(len(lags))
    for position, lag in enumerate(lags):
        early = lips[max(0, -lag) : len(lips) - max(0, lag)]
        late = sound[max(0, lag) : len(sound) - max(0, -lag)]
        scale = early.std() * late.std()
        curve[position] = ((early - early.mean()) * (late - late.mean())).mean() / scale if scale > 1e-12 else 0.0
    return lags / LEVEL_RATE_HZ, curve


class LipSound:
    """At which delay, and how well, the opening of the lips follows the loudness of the driving sound."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("lip_sound", "lips to sound r", "", "higher", "Best correlation of the lips' opening with loudness."),
        Figure("lip_sound_lag", "lips to sound lag", "ms", "nearer 0", "Delay of the lips behind the sound there."),
    )
    needs_real: ClassVar[bool] = False

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._opening: dict[int, float] = {}
        self._curve: list[float] = []

    def add(self, frame: MeasuredFrame) -> None:
        """Measure the lips of one frame."""
        points = frame.rendered.points
        self._curve.append(float("nan") if points is None else float(aperture(points[None], self._context.layout)[0]))
        if points is not None:
            self._opening[frame.index] = self._curve[-1]

    def result(self) -> Measurement:
        """State the best delay and the correlation there."""
        context, curves = self._context, {"opening": np.array(self._curve)}
        if context.sound is None or len(self._opening) < 3:
            reason = "The sound of these frames is not known." if context.sound is None else "Hardly a face was found."
            return Measurement(missing={figure.key: reason for figure in self.figures}, curves=curves)
        first, last = min(self._opening), max(self._opening)
        opening = np.full(last - first + 1, np.nan)
        for index, value in self._opening.items():
            opening[index - first] = value
        start_s = context.sound_start_s + first / context.fps
        level, _ = sound_levels(context.sound, start_s, len(opening) / context.fps)
        lags, curve = lip_sound_lag(opening, level, context.fps)
        best = int(np.argmax(curve))
        if curve[best] <= 0:
            reason = "Lips or sound never move, or the part is shorter than four seconds."
            return Measurement(missing={figure.key: reason for figure in self.figures}, curves=curves)
        values = {"lip_sound": float(curve[best]), "lip_sound_lag": float(-1000 * lags[best])}
        return Measurement(values, curves=curves)


def _rhythm(values: np.ndarray) -> np.ndarray:
    """Keep what changes at the pace of syllables."""
    fast = gaussian_filter1d(values, LEVEL_RATE_HZ / (2 * np.pi * 8.0))
    return fast - gaussian_filter1d(values, LEVEL_RATE_HZ / (2 * np.pi * 1.0))
