"""Reading the watermark of a video that was encoded again, resized, cropped, or shown at another frame rate.

Every frame says for each pixel whether it is brighter than what surrounds it. What stands out little counts most:
weights are inverse local variances. Averages over frames are folded onto one tile, for every size that a cell may
have now and for every place where the tile may begin, and the most likely payload of each is found.

A wrong alarm: for any picture that knows nothing of the tile's random signs, the correlation with one payload at one
place and size exceeds z standard deviations with probability at most exp(-z^2 / 2) (Hoeffding's inequality, which asks
nothing of the picture). All that is tried adds up to less than 2^32 payloads x 4,096 places x `_MOST_SIZES` sizes, so
that `THRESHOLD` keeps the chance of a wrong alarm below 10^-6 per video.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import scipy.fft
from jaxtyping import Complex64, Float32, UInt8

from ns_talking.provenance.watermark import CELLS, CELLS_ACROSS, NUM_BITS, cell_px, codes, payload_from

WRONG_ALARMS = 1e-6
"""Chance that a video without the watermark seems to have one, at most."""
_PHASES = 2
"""Samples per cell, and so places tried within a cell, along each axis."""
_MOST_SIZES = 1024
THRESHOLD = math.sqrt(
    2 * (NUM_BITS * math.log(2) + math.log((CELLS * _PHASES) ** 2 * _MOST_SIZES) - math.log(WRONG_ALARMS))
)
"""Correlation, in standard deviations, from which on the watermark is taken for real."""
_SMALLEST_CELL_PX, _LARGEST_CELL_PX = 1.4, 16.0
_BAND = math.sqrt(2.0)
"""Sizes of cells within this factor share their measurement."""
_SAMPLES = 2.4
"""Pixels per cell at which a band is measured, at the middle of the band."""
_SURE = 1.3
"""From this multiple of the threshold on, no other size is tried."""
_NOISE = 1.0
"""Variance of what encoding and rounding add at least, in grey levels."""


@dataclass(frozen=True)
class Watermark:
    """A watermark that was found."""

    payload: int
    """Its 32 bits."""
    score: float
    """Correlation in standard deviations of noise."""
    cell_px: float
    """Width of a cell in px; it tells how the video was resized."""


def read_watermark(frames: Iterable[UInt8[np.ndarray, "height width 3"]]) -> Watermark | None:
    """Look for the watermark in frames of one size.

    Args:
        frames: RGB, of one video; some fifty of them, spread over it, do.

    Returns:
        None where there is none: a video without it has one with a chance of at most `WRONG_ALARMS`.
    """
    found = likeliest(frames)
    return found if found is not None and found.score >= THRESHOLD else None


def likeliest(frames: Iterable[UInt8[np.ndarray, "height width 3"]], num_sizes: int | None = None) -> Watermark | None:
    """Find the watermark that explains the frames best, whether or not there is one.

    Args:
        frames: RGB, of one size.
        num_sizes: How many sizes of cells to try, the likeliest first; None tries all.

    Returns:
        None where there are no frames.
    """
    measured: list[_Band] = []
    expected = 0.0
    for frame in frames:
        if not measured:
            height, width = frame.shape[:2]
            expected = cell_px(height, width)
            measured = [_Band(cell, (height, width)) for cell in _bands(min(height, width))]
        luma = cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb)[..., 0]
        for band in measured:
            band.add(luma)
    best: Watermark | None = None
    sizes = [(band, cell) for band in measured for cell in band.sizes(expected)]
    # The likeliest first: as it was written, then half the size, then all others.
    sizes.sort(key=lambda one: min(abs(math.log(one[1] / expected)), abs(math.log(2 * one[1] / expected)) + 1e-9))
    for band, cell in sizes[:num_sizes]:
        found = band.look(cell)
        if best is None or found.score > best.score:
            best = found
        if best.score > _SURE * THRESHOLD:
            break
    return best


def _bands(shorter_side: int) -> list[float]:
    """List the middle of every band of cell sizes: at most `CELLS_ACROSS` in a frame, at least half a tile."""
    smallest = max(_SMALLEST_CELL_PX, 0.98 * shorter_side / CELLS_ACROSS)
    largest = max(_BAND * smallest, min(_LARGEST_CELL_PX, shorter_side / (CELLS / 2)))
    count = math.ceil(math.log(largest / smallest) / math.log(_BAND))
    return [smallest * _BAND ** (k + 0.5) for k in range(count)]


class _Band:
    """What the frames show at one scale, added up."""

    def __init__(self, cell: float, shape: tuple[int, int]) -> None:
        self._cell, self._shape = cell, shape
        height, width = (max(CELLS, round(length * _SAMPLES / cell)) for length in shape)
        self._size = width, height
        self._sum = np.zeros((height, width), np.float32)

    def add(self, luma: UInt8[np.ndarray, "height width"]) -> None:
        """Measure one frame."""
        shrinks = self._size[0] <= luma.shape[1]
        image = cv2.resize(luma, self._size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        image = image.astype(np.float32)
        residual = image - cv2.GaussianBlur(image, (0, 0), 1.2 * _SAMPLES)
        variance = cv2.GaussianBlur(np.square(residual), (0, 0), 1.5 * _SAMPLES)
        self._sum += residual / (variance + _NOISE)

    def sizes(self, expected: float) -> list[float]:
        """List the sizes of cells to try: a step moves the far edge of the frame by two thirds of a cell."""
        cells_across = max(self._shape) / self._cell
        step = math.log1p(0.67 / cells_across)
        first, last = (math.log(self._cell * _BAND**power / expected) / step for power in (-0.5, 0.5))
        return [expected * math.exp(step * k) for k in range(math.ceil(first), math.ceil(last))]

    def look(self, cell: float) -> Watermark:
        """Fold what was measured onto one tile of cells of this size, and find the best payload at every place."""
        height, width = self._shape
        across = [int(length / cell * _PHASES) for length in (height, width)]
        # Sample i of the result lies at (i + 0.5) * cell / phases px of the frame.
        scale = [
            size * cell / (_PHASES * length) for size, length in zip(self._size[::-1], (height, width), strict=True)
        ]
        place = np.array([[scale[1], 0, 0.5 * scale[1] - 0.5], [0, scale[0], 0.5 * scale[0] - 0.5]], np.float32)
        samples = cv2.warpAffine(
            self._sum, place, (across[1], across[0]), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        return _best(_folded(samples), cell)


def _best(folded: Float32[np.ndarray, "side side"], cell: float) -> Watermark:
    """Find the place where a tile begins, and its payload, that explain best what was folded."""
    wide = sum(np.roll(folded, (-row, -column), (0, 1)) for row in range(_PHASES) for column in range(_PHASES))
    assert isinstance(wide, np.ndarray)
    best = Watermark(0, 0.0, cell)
    for row in range(_PHASES):
        for column in range(_PHASES):
            measured = wide[row::_PHASES, column::_PHASES]
            spectrum = np.asarray(scipy.fft.rfft2(measured))
            found = np.asarray(scipy.fft.irfft2(spectrum * _spectra(), measured.shape))
            peaks = np.abs(found).max(axis=1)
            scores = peaks.sum(axis=0) / max(float(np.linalg.norm(measured)), 1e-12)
            y, x = divmod(int(scores.argmax()), CELLS)
            if scores[y, x] > best.score:
                here = found[:, :, y, x]
                words = np.abs(here).argmax(axis=1)
                negative = here[np.arange(len(here)), words] < 0
                best = Watermark(payload_from(words, negative), float(scores[y, x]), cell)
    return best


@lru_cache(maxsize=1)
def _spectra() -> Complex64[np.ndarray, "bytes codes rows columns"]:
    return np.conj(np.asarray(scipy.fft.rfft2(codes().astype(np.float32))))


def _folded(samples: Float32[np.ndarray, "rows columns"]) -> Float32[np.ndarray, "side side"]:
    side = CELLS * _PHASES
    rows, columns = (-(-length // side) * side for length in samples.shape)
    padded = np.zeros((rows, columns), np.float32)
    padded[: samples.shape[0], : samples.shape[1]] = samples
    return padded.reshape(rows // side, side, columns // side, side).sum(axis=(0, 2))
