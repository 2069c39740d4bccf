"""Whether a rendered opening (of lips or eyes) follows the real one over time.

Curves are one number per frame; frames that are NaN in either curve do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from ns_talking.data.landmarks import LandmarkScheme, aperture, eye_opening
from ns_talking.metrics.base import Figure, MeasuredFrame, Measurement, MetricContext, finite

MOST_LAG = 15
"""Largest delay looked for, in frames: 0.6 s."""
_DRAWN_AT_ONCE = 100_000
"""Blocks that the bootstrap draws at a time, so that its memory does not grow with the clip."""
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


def concordance(rendered: Float[np.ndarray, " frames"], real: Float[np.ndarray, " frames"]) -> float:
    """Correlate two curves and punish another mean or another spread; NaN where they share fewer than 3 frames.

    Source:
        Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 1989.
    """
    rendered, real = _shared(rendered, real)
    if len(real) < 3:
        return float("nan")
    covariance = float(np.mean((rendered - rendered.mean()) * (real - real.mean())))
    total = float(rendered.var() + real.var() + (rendered.mean() - real.mean()) ** 2)
    return 2 * covariance / total if total > 1e-12 else 0.0


def spread_ratio(rendered: Float[np.ndarray, " frames"], real: Float[np.ndarray, " frames"]) -> float:
    """Compare how far two curves move: the standard deviation of the first as a share of the second's."""
    rendered, real = _shared(rendered, real)
    return float(rendered.std() / max(real.std(), 1e-12)) if len(real) else float("nan")


def best_lag(
    rendered: Float[np.ndarray, " frames"], real: Float[np.ndarray, " frames"], most: int = MOST_LAG
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
    most = min(most, len(real) - 1)
    for lag in range(-most, most + 1):
        late = rendered[max(0, lag) : len(rendered) + min(0, lag)]
        correlations[lag] = correlation(late, real[max(0, -lag) : len(real) - max(0, lag)])
    found = max(correlations, key=lambda lag: (np.nan_to_num(correlations[lag], nan=-2.0), -abs(lag)))
    return found, correlations[found]


def windowed_lags(
    rendered: Float[np.ndarray, " frames"],
    real: Float[np.ndarray, " frames"],
    window: int = 50,
    step: int = 12,
    most: int = MOST_LAG,
) -> Float[np.ndarray, " windows"]:
    """Find the delay in windows of two seconds: a constant offset piles up at one lag, chance spreads.

    Windows in which the lips hardly move, or in which no lag correlates by 0.3, say nothing and are left out.

    Args:
        rendered: Curve of the rendered frames.
        real: Curve of the real frames.
        window: Frames per window.
        step: Frames between two windows' starts.
        most: Largest delay tried, either way.

    Returns:
        Delays in frames, positive where the rendered curve is late.
    """
    least = 0.25 * float(np.nanstd(real)) if np.isfinite(real).any() else 0.0
    lags = []
    for start in range(0, max(len(real) - window, 0) + 1, step):
        part = slice(start, start + window)
        lag, at_lag = best_lag(rendered[part], real[part], most)
        if np.isfinite(real[part]).sum() >= window // 2 and np.nanstd(real[part]) > least and at_lag >= 0.3:
            lags.append(lag)
    return np.array(lags, dtype=np.float64)


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
    number = -(-len(real) // block)
    # The sums of a draw are those of its blocks: no draw is ever laid out frame by frame.
    running = np.cumsum(np.pad(_products(rendered, real), ((0, 0), (1, 0))), axis=1)
    of_block = running[:, block:] - running[:, :-block]
    found = []
    at_once = max(1, _DRAWN_AT_ONCE // number)
    for begin in range(0, draws, at_once):
        starts = generator.integers(0, len(real) - block + 1, size=(min(at_once, draws - begin), number))
        found.append(_correlations(of_block[:, starts].sum(axis=2)))
    low, high = np.nanquantile(np.concatenate(found), [(1 - share) / 2, (1 + share) / 2])
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
    if len(real) < 2 * least:
        return np.zeros(0)
    ours, theirs = _powers(rendered), _powers(real)
    # Sums over all frames at every roll at once: a curve of an hour has 90,000 of them.
    spectra = [np.fft.rfft(each) for each in (ours, theirs)]
    pairs = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
    sums = [np.fft.irfft(spectra[0][a].conj() * spectra[1][b], len(real)) for a, b in pairs]
    return _correlations(np.stack(sums)[:, least : len(real) - least + 1])


def _powers(curve: np.ndarray) -> Float[np.ndarray, "3 frames"]:
    """Zeroth, first and second power of a curve about its mean; all zero where it is not known."""
    known = np.isfinite(curve)
    centred = np.where(known, curve - (curve[known].mean() if known.any() else 0.0), 0.0)
    return np.stack([known.astype(np.float64), centred, np.square(centred)])


def _products(rendered: np.ndarray, real: np.ndarray) -> Float[np.ndarray, "6 frames"]:
    """What the sums of `_correlations` sum up, for every frame."""
    (n, x, xx), (m, y, yy) = _powers(rendered), _powers(real)
    return np.stack([n * m, x * m, n * y, xx * m, n * yy, x * y])


def _correlations(sums: Float[np.ndarray, "6 samples"]) -> Float[np.ndarray, " samples"]:
    """Correlate by the sums of 1, x, y, xx, yy and xy over the frames that both curves know."""
    count, x, y, xx, yy, xy = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = xy - x * y / count
        size = np.sqrt(np.clip(xx - x * x / count, 0, None) * np.clip(yy - y * y / count, 0, None))
        found = np.where(size > 1e-12, covariance / size, 0.0)
    return np.where(count > 2.5, np.clip(found, -1, 1), np.nan)


def _shared(rendered: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = np.isfinite(rendered) & np.isfinite(real)
    return rendered[both].astype(np.float64), real[both].astype(np.float64)


class _Opening:
    """Follows one opening of the face in rendered and real frames."""

    figures: ClassVar[tuple[Figure, ...]]
    needs_real: ClassVar[bool] = True
    key: ClassVar[str]
    opening: ClassVar[Callable[[np.ndarray, LandmarkScheme], np.ndarray]]

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._rendered: list[float] = []
        self._real: list[float] = []

    def add(self, frame: MeasuredFrame) -> None:
        """Measure both openings of one frame."""
        for found, picture in ((self._rendered, frame.rendered), (self._real, frame.real)):
            points = None if picture is None else picture.points
            found.append(float("nan") if points is None else float(self._measure(points)))

    def _measure(self, points: np.ndarray) -> float:
        return float(type(self).opening(points[None].astype(np.float64), self._context.layout)[0])

    def _curves(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self._rendered), np.array(self._real)

    def _few(self) -> str:
        return f"{self._context.landmarks} found a face in fewer than 3 frames of both videos."


class Aperture(_Opening):
    """Whether the inner lips open as the real ones do: alike in time, in amount, and at the same moment."""

    figures = (
        Figure("aperture", "aperture r", "", "higher", "Pearson correlation of the inner lips' opening with the real."),
        Figure("aperture_ccc", "aperture CCC", "", "higher", "Concordance (Lin 1989): also the same mean and spread."),
        Figure(
            "aperture_spread", "aperture spread", "", "nearer 1", "Standard deviation of the opening over the real."
        ),
        Figure("aperture_lag", "aperture lag", "frames", "nearer 0", "Delay of best correlation; positive: late."),
        Figure("aperture_at_lag", "aperture r at lag", "", "higher", "The correlation at that delay."),
        Figure("aperture_low", "aperture r, low end", "", "higher", "Lower end of the 95 % block-bootstrap interval."),
        Figure("aperture_chance", "aperture r by chance", "", "neither", "95th percentile, curve rolled in time."),
    )
    key = "aperture"
    opening = aperture

    def result(self) -> Measurement:
        """State how alike the curves are."""
        rendered, real = self._curves()
        both = int((np.isfinite(rendered) & np.isfinite(real)).sum())
        curves = {"aperture": rendered, "aperture_real": real}
        if both < 3:
            return Measurement(missing={figure.key: self._few() for figure in self.figures}, curves=curves)
        lag, at_lag = best_lag(rendered, real, min(MOST_LAG, len(real) // 4))
        values = {
            "aperture": correlation(rendered, real),
            "aperture_ccc": concordance(rendered, real),
            "aperture_spread": spread_ratio(rendered, real),
            "aperture_lag": float(lag),
            "aperture_at_lag": at_lag,
            "aperture_low": bootstrap_interval(rendered, real)[0],
        }
        rolled = rolled_correlations(rendered, real)
        values["aperture_chance"] = float(np.nanquantile(rolled, 0.95)) if np.isfinite(rolled).any() else float("nan")
        found = finite(values, "The clip is too short: rolling takes 40 frames or more.")
        kept, missing = dict(found.values), dict(found.missing)
        if kept["aperture_spread"] < 1e-6:
            del kept["aperture_lag"]
            missing["aperture_lag"] = "The rendered lips never move, so they have no delay."
        notes = dict.fromkeys(values, f"{self._context.landmarks} landmarks")
        return Measurement(kept, missing, notes, curves)


class Eyes(_Opening):
    """Whether the eyes blink when the real ones do, and as far."""

    figures = (
        Figure("eyes", "eyes r", "", "higher", "Pearson correlation of the eye aspect ratio with the real frames'."),
        Figure("eyes_spread", "eyes spread", "", "nearer 1", "Spread of the eye aspect ratio over the real."),
    )
    key = "eyes"
    opening = eye_opening

    def result(self) -> Measurement:
        """State how alike the curves are."""
        rendered, real = self._curves()
        values = {"eyes": correlation(rendered, real), "eyes_spread": spread_ratio(rendered, real)}
        found = finite(values, self._few())
        return Measurement(found.values, found.missing, curves={"eyes": rendered, "eyes_real": real})
