"""Whether what should be still is still: jitter of rigid landmarks, flicker of the background. Our design."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from ns_talking.metrics.base import Figure, MeasuredFrame, Measurement, MetricContext

_SIGMA_PER_MEDIAN = 1 / 0.6745
_NOISE_GAIN = np.sqrt(6.0)
"""Second differences of white noise spread by the root of 1 + 4 + 1."""


class Stability:
    """Frame-to-frame noise, which motion does not contribute to: a head moves smoothly, and trembles do not."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("jitter", "jitter", "px", "lower", "Noise of rigid landmarks by second differences, px at 512."),
        Figure("jitter_excess", "jitter excess", "px", "nearer 0", "How much more than the real frames' own noise."),
        Figure("flicker", "flicker", "levels", "lower", "Mean change of background pixels per frame, of 255."),
    )
    needs_real: ClassVar[bool] = False

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        movable = np.concatenate([context.layout.movable, context.layout.jaw])
        self._rigid = np.setdiff1d(np.arange(context.layout.num_points), movable)
        self._last: deque[MeasuredFrame] = deque(maxlen=3)
        self._jitter: list[float] = []
        self._real_jitter: list[float] = []
        self._flicker: list[float] = []

    def add(self, frame: MeasuredFrame) -> None:
        """Compare a frame with the two before it."""
        self._last.append(frame)
        frames = list(self._last)
        adjacent = [later.index - earlier.index == 1 for earlier, later in zip(frames[:-1], frames[1:], strict=True)]
        self._jitter.append(float("nan"))
        self._flicker.append(float("nan"))
        if len(frames) == 3 and all(adjacent):
            self._jitter[-1] = self._second_difference([one.rendered.points for one in frames])
            if all(one.real is not None for one in frames):
                self._real_jitter.append(self._second_difference([one.real.points for one in frames if one.real]))
        if adjacent and adjacent[-1] and frame.background is not None and frames[-2].background is not None:
            still = frame.background & frames[-2].background
            if still.any():
                change = frame.rendered.image[still].astype(np.float32) - frames[-2].rendered.image[still]
                self._flicker[-1] = float(np.abs(change).mean())

    def result(self) -> Measurement:
        """State noise and flicker."""
        curves = {"jitter": np.array(self._jitter), "flicker": np.array(self._flicker)}
        values: dict[str, float] = {}
        missing: dict[str, str] = {}
        if np.isfinite(curves["jitter"]).any():
            values["jitter"] = noise_of(curves["jitter"])
        else:
            missing["jitter"] = f"{self._context.landmarks} found a face in no three frames in a row."
        if "jitter" in values and np.isfinite(self._real_jitter).any():
            values["jitter_excess"] = values["jitter"] - noise_of(np.array(self._real_jitter))
        else:
            missing["jitter_excess"] = missing.get("jitter", "There are no real frames to compare with.")
        if np.isfinite(curves["flicker"]).any():
            values["flicker"] = float(np.nanmean(curves["flicker"]))
        else:
            missing["flicker"] = "No background is known that stays free of the person."
        notes = dict.fromkeys(("jitter", "jitter_excess"), f"{self._context.landmarks} landmarks, their noise included")
        return Measurement(values, missing, {key: note for key, note in notes.items() if key in values}, curves)

    def _second_difference(self, points: list[np.ndarray | None]) -> float:
        """Take the median over points and axes of the absolute second difference."""
        first, second, third = points
        if first is None or second is None or third is None:
            return float("nan")
        bend = first[self._rigid, :2] - 2.0 * second[self._rigid, :2] + third[self._rigid, :2]
        return float(np.median(np.abs(bend)))


def noise_of(second_differences: Float[np.ndarray, " frames"]) -> float:
    """Standard deviation of the white noise that has such absolute second differences; NaN is left out."""
    return float(np.nanmedian(second_differences) * _SIGMA_PER_MEDIAN / _NOISE_GAIN)
