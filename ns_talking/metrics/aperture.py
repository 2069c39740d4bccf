"""Whether a rendered opening (of lips or eyes) follows the real one over time.

Curves are one number per frame; frames that are NaN in either curve do not count.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_BLOCK = 25
"""Frames per block of the bootstrap: a second, after which openings no longer resemble themselves."""


def correlation(rendered: Float[np.ndarray, " frames"], real: Float[np.ndarray, " frames"]) -> float:
    """Correlate two curves; 0 where one of them never changes, NaN where they share fewer than 3 frames."""
    rendered, real = _shared(rendered, real)
    if len(real) < 3:
        return float("nan")
    rendered, real = rendered - rendered.mean(), real - real.mean()
    size = float(np.linalg.norm(rendered) * np.linalg.norm(real))
    return float(rendered @ real) / size if size > 1e-12 else 0.0


def spread_ratio(rendered: Float[np.ndarray, " frames"], real: Float[np.ndarray, " frames"]) -> float:
    """Compare how far two curves move: the standard deviation of the first as a share of the second's."""
    rendered, real = _shared(rendered, real)
    return float(rendered.std() / max(real.std(), 1e-12))


def best_lag(
    rendered: Float[np.ndarray, " frames"], real: Float[np.ndarray, " frames"], most: int = 5
) -> tuple[int, float]:
    """Find the delay of the rendered curve, in frames, at which it correlates best with the real one.

    Args:
        rendered: Curve of the rendered frames.
        real: Curve of the real frames.
        most: Largest delay tried, either way.

    Returns:
        The delay, positive where the rendered curve is late, and the correlation there.
    """
    correlations = {}
    for lag in range(-most, most + 1):
        late = rendered[max(0, lag) : len(rendered) + min(0, lag)]
        correlations[lag] = correlation(late, real[max(0, -lag) : len(real) - max(0, lag)])
    found = max(correlations, key=lambda lag: (np.nan_to_num(correlations[lag], nan=-2.0), -abs(lag)))
    return found, correlations[found]


def bootstrap_interval(
    rendered: Float[np.ndarray, " frames"],
    real: Float[np.ndarray, " frames"],
    share: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bound the correlation by drawing blocks of a second with replacement.

    Source:
        The moving-block bootstrap (Kuensch, 1989), which keeps neighbouring frames together.

    Args:
        rendered: Curve of the rendered frames.
        real: Curve of the real frames.
        share: How sure the interval is.
        draws: Resamples.
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    block = min(_BLOCK, len(real))
    starts = generator.integers(0, len(real) - block + 1, size=(draws, -(-len(real) // block)))
    rows = (starts[..., None] + np.arange(block)).reshape(draws, -1)
    found = [correlation(rendered[row], real[row]) for row in rows]
    low, high = np.nanquantile(found, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def rolled_correlations(
    rendered: Float[np.ndarray, " frames"], real: Float[np.ndarray, " frames"], least: int = 20
) -> Float[np.ndarray, " rolls"]:
    """Correlate the real curve with the rendered one rolled in time: what chance alone reaches.

    Args:
        rendered: Curve of the rendered frames.
        real: Curve of the real frames.
        least: Frames by which the curve is rolled at least, either way.
    """
    rolls = range(least, len(real) - least + 1)
    return np.array([correlation(np.roll(rendered, roll), real) for roll in rolls])


def _shared(rendered: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = np.isfinite(rendered) & np.isfinite(real)
    return rendered[both].astype(np.float64), real[both].astype(np.float64)
