"""Whether the lips close where the real ones do, as for p, b and m. Our design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from ns_talking.data.landmarks import aperture
from ns_talking.metrics.base import Figure, MeasuredFrame, Measurement, MetricContext

_CLOSED_SHARE = 0.15
"""Closed is what stays below this share of the way from the curve's 2nd to its 95th percentile ..."""
_OPEN_SHARE = 0.35
"""... with lips open by this share on both sides ..."""
_NEAR_S = 0.2
"""... this close by: a closed mouth in a pause is no closure."""
_TOLERANCE = 1
"""Frames by which the rendered lips may be early or late."""


@dataclass(frozen=True)
class Closures:
    """Moments at which the real lips touch between two openings."""

    frames: Int[np.ndarray, " closures"]
    """Where they are closest."""
    closed: Float[np.ndarray, " closures"]
    """Their opening there."""
    opened: Float[np.ndarray, " closures"]
    """Their opening around: the smaller of the two maxima on both sides."""


def find_closures(opening: Float[np.ndarray, " frames"], fps: float) -> Closures:
    """Find the closures of a curve.

    Args:
        opening: Opening of the inner lips, NaN without a face.
        fps: Frames per second.
    """
    known = np.flatnonzero(np.isfinite(opening))
    empty = np.zeros(0)
    if len(known) < 3:
        return Closures(empty.astype(int), empty, empty)
    curve = np.interp(np.arange(len(opening)), known, opening[known])
    low, high = np.percentile(curve, [2, 95])
    near = round(_NEAR_S * fps)
    frames, closed, opened = [], [], []
    below = curve < low + _CLOSED_SHARE * (high - low)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], below.astype(int), [0]])))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        before, after = curve[max(0, begin - near) : begin], curve[end : end + near]
        if end - begin > 2 * near or not len(before) or not len(after):
            continue
        around = min(before.max(), after.max())
        if around > low + _OPEN_SHARE * (high - low):
            frame = begin + int(np.argmin(curve[begin:end]))
            frames.append(frame)
            closed.append(curve[frame])
            opened.append(around)
    return Closures(np.array(frames, dtype=int), np.array(closed), np.array(opened))


def closure_depths(rendered: Float[np.ndarray, " frames"], closures: Closures) -> Float[np.ndarray, " closures"]:
    """Measure how far the rendered lips close: 1 as far as the real ones, 0 not below their opening around.

    Args:
        rendered: Opening of the rendered lips, NaN without a face.
        closures: Of the real curve.

    Returns:
        In [0, 1]; NaN where no face was found.
    """
    depths = np.full(len(closures.frames), np.nan)
    for number, frame in enumerate(closures.frames):
        part = rendered[max(0, frame - _TOLERANCE) : frame + _TOLERANCE + 1]
        if np.isfinite(part).any():
            left_open = np.nanmin(part) - closures.closed[number]
            depths[number] = 1 - left_open / (closures.opened[number] - closures.closed[number])
    return np.clip(depths, 0, 1)


class ClosureDepth:
    """How far the lips close at the real closures; a mouth that never opens passes, so read it beside the spread."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("closure_depth", "closure depth", "", "higher", "How far lips close at real closures; 1: as the real."),
        Figure("closures_missed", "closures missed", "%", "lower", "Closures at which lips close by less than half."),
    )
    needs_real: ClassVar[bool] = True

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._rendered: list[float] = []
        self._real: list[float] = []

    def add(self, frame: MeasuredFrame) -> None:
        """Measure the lips of one frame."""
        for found, picture in ((self._rendered, frame.rendered), (self._real, frame.real)):
            points = None if picture is None else picture.points
            value = float("nan") if points is None else float(aperture(points[None], self._context.layout)[0])
            found.append(value)

    def result(self) -> Measurement:
        """State the means over the closures."""
        closures = find_closures(np.array(self._real), self._context.fps)
        depths = closure_depths(np.array(self._rendered), closures)
        depths = depths[np.isfinite(depths)]
        if not len(depths):
            reason = "The real frames show no closure between two openings. Evaluate a longer part of the clip."
            return Measurement(missing={figure.key: reason for figure in self.figures})
        values = {"closure_depth": float(depths.mean()), "closures_missed": float(100 * (depths < 0.5).mean())}
        return Measurement(values, notes=dict.fromkeys(values, f"{len(depths)} closures"))
