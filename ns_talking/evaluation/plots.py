"""Plots of an evaluation: openings over the waveform, and the delays of windows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ns_talking.audio.io import SAMPLE_RATE_HZ, read_audio
from ns_talking.metrics.aperture import MOST_LAG, windowed_lags
from ns_talking.utils.plots import as_png, blank_figure, curve, envelope

_MOST_SECONDS = 60.0


def opening_plot(
    curves: Mapping[str, np.ndarray], key: str, sound: Path | None, start_s: float, fps: float, label: str
) -> bytes | None:
    """Plot a rendered opening, and the real one where it is known, over the waveform, the first minute of them.

    Args:
        curves: Of one row; `key` and `key`_real are drawn.
        key: `aperture`, `opening` or `eyes`.
        sound: The sound of the frames.
        start_s: Where in it the frames begin.
        fps: Frames per second.
        label: Name of the vertical axis.

    Returns:
        A PNG; None where the row has no such curve.
    """
    rendered, real = curves.get(key), curves.get(f"{key}_real")
    if rendered is None or not np.isfinite(rendered).any():
        return None
    count = min(len(rendered), round(_MOST_SECONDS * fps))
    instants = start_s + np.arange(count) / fps
    figure, axes = blank_figure(2 if sound else 1, 3.6 if sound else 2.4)
    if real is not None:
        curve(axes[0], instants, real[:count], "0.25", "real")
    curve(axes[0], instants, rendered[:count], "C3", "rendered")
    axes[0].set(ylabel=label)
    # Above the axes, where no curve runs.
    axes[0].legend(loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, fontsize=8, frameon=False)
    if sound is not None:
        samples = read_audio(sound, SAMPLE_RATE_HZ, start_s, count / fps)
        envelope(axes[1], samples, SAMPLE_RATE_HZ, start_s)
        peak = max(0.05, 1.1 * float(np.abs(samples).max(initial=0.0)))
        axes[1].set(ylabel="amplitude", ylim=(-peak, peak))
    axes[-1].set(xlabel="s of the sound")
    return as_png(figure)


def lag_plot(curves: Mapping[str, np.ndarray], fps: float) -> bytes | None:
    """Plot how the delays of two-second windows are distributed; None where none could be told."""
    if "aperture" not in curves or "aperture_real" not in curves:
        return None
    lags = windowed_lags(curves["aperture"], curves["aperture_real"], window=round(2 * fps), step=round(fps / 2))
    if not len(lags):
        return None
    figure, (axis,) = blank_figure(1, 2.2, width=6.5)
    axis.hist(lags, bins=np.arange(-MOST_LAG - 0.5, MOST_LAG + 1), color="C0", rwidth=0.85)
    axis.axvline(0, color="0.6", linewidth=0.8)
    axis.set(xlabel="lips behind the real ones, frames", ylabel=f"windows (of {len(lags)})")
    return as_png(figure)
