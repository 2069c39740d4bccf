"""How far rendered landmarks lie from real ones."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from ns_talking.data.landmarks import LandmarkScheme
from ns_talking.metrics.base import Figure, MeasuredFrame, Measurement, MetricContext


def lip_landmark_distance(
    rendered: Float[np.ndarray, "frames points axes"],
    real: Float[np.ndarray, "frames points axes"],
    layout: LandmarkScheme,
    centred: bool = True,
) -> Float[np.ndarray, " frames"]:
    """Measure the mean distance of the 20 lip landmarks in every frame (LMD), in px.

    Source:
        Chen et al., "Lip movements generation at a glance", ECCV 2018, and the meters released with RAD-NeRF and
        ER-NeRF: the mean of each frame's lips is taken out first (`centred`), so that only their shape counts and not
        where the head is.

    Args:
        rendered: Landmarks of the rendered frames.
        real: Landmarks of the real frames.
        layout: Scheme of both.
        centred: Whether the mean of each frame's lips is taken out first, as the field does.

    Returns:
        NaN where either frame has no face.
    """
    lips = layout.ibug68[48:68]
    ours, theirs = (points[:, lips, :2].astype(np.float64) for points in (rendered, real))
    if centred:
        ours, theirs = (points - points.mean(axis=1, keepdims=True) for points in (ours, theirs))
    return np.linalg.norm(ours - theirs, axis=-1).mean(axis=1)


class Lmd:
    """Mean landmark distance of the lips, as the field defines it and with the lips' place kept."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("lmd", "LMD", "px", "lower", "Mean distance of 20 lip landmarks, centred per frame (Chen et al. 2018)."),
        Figure("lmd_placed", "LMD placed", "px", "lower", "The same without centring: a head out of place counts."),
    )
    needs_real: ClassVar[bool] = True

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._found: dict[str, list[float]] = {figure.key: [] for figure in self.figures}

    def add(self, frame: MeasuredFrame) -> None:
        """Compare the lips of one frame."""
        for key, centred in (("lmd", True), ("lmd_placed", False)):
            distance = float("nan")
            if frame.both_faces:
                assert frame.real is not None and frame.real.points is not None and frame.rendered.points is not None
                points = frame.rendered.points[None], frame.real.points[None]
                distance = float(lip_landmark_distance(*points, self._context.layout, centred)[0])
            self._found[key].append(distance)

    def result(self) -> Measurement:
        """State the means over the frames in which both faces were found."""
        curves = {key: np.array(values) for key, values in self._found.items()}
        if not np.isfinite(curves["lmd"]).any():
            reason = f"{self._context.landmarks} found no face in any rendered frame."
            return Measurement(missing=dict.fromkeys(curves, reason), curves=curves)
        return Measurement(
            values={key: float(np.nanmean(curve)) for key, curve in curves.items()},
            notes=dict.fromkeys(curves, f"{self._context.landmarks} landmarks, px of a frame 512 px wide"),
            curves=curves,
        )
