"""Plots as PNG: figures without a frame, curves thinned to what a screen shows, the envelope of a sound."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Float

_MAX_POINTS = 3000
"""Points per curve; an hour of sound has more than any screen."""


# Any: matplotlib's types stay out of the signatures, so that it is imported only when something is drawn.
def blank_figure(rows: int, height: float, width: float = 11.0) -> tuple[Any, Any]:
    """Make a figure of some rows that share their time axis; sizes in inches.

    Returns:
        The figure and its axes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    axes = figure.subplots(rows, 1, sharex=rows > 1, squeeze=False)[:, 0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.margins(x=0)
    return figure, axes


def curve(axis: Any, instants: np.ndarray, values: np.ndarray, colour: str, label: str | None = None) -> None:
    """Draw a curve with no more points than a screen shows."""
    stride = max(1, len(values) // _MAX_POINTS)
    axis.plot(instants[::stride], values[::stride], color=colour, linewidth=0.8, label=label)


def as_png(figure: Any) -> bytes:
    """Encode a figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def envelope(axis: Any, samples: Float[np.ndarray, " samples"], sample_rate: int, start_s: float = 0.0) -> None:
    """Draw the range of a sound's samples over time.

    Args:
        axis: Where.
        samples: In [-1, 1].
        sample_rate: In Hz.
        start_s: Instant of the first sample.
    """
    block = max(1, len(samples) // _MAX_POINTS)
    whole = samples[: len(samples) // block * block].reshape(-1, block)
    instants = start_s + np.arange(len(whole)) * block / sample_rate
    if len(whole):
        axis.fill_between(instants, whole.min(axis=1), whole.max(axis=1), color="C2", linewidth=0)
