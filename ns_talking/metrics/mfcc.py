"""Mel-frequency cepstral coefficients as SyncNet was trained on: 13 at 100 Hz, from 16 kHz sound."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.fft import dct

RATE_HZ = 100.0
NUM_COEFFICIENTS = 13
_SAMPLE_RATE_HZ = 16_000
_FRAME, _STEP, _FFT = 400, 160, 512
_NUM_FILTERS = 26
_PRE_EMPHASIS = 0.97
_LIFTER = 22
_SMALLEST = float(np.finfo(float).eps)


def mfcc(blocks: Iterable[Float[np.ndarray, " _"]]) -> Float[np.ndarray, "steps 13"]:
    """Compute the coefficients of a sound that comes in blocks.

    Source:
        Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980, with
        the settings of the package python_speech_features that SyncNet's release uses: 25 ms frames without a window
        function, pre-emphasis 0.97, 26 filters from 0 to 8 kHz, liftering by 22, log energy as first coefficient.

    Args:
        blocks: Samples in [-1, 1] at 16 kHz.

    Returns:
        Step i starts at the instant i / 100 s.
    """
    rows, rest, last = [], np.zeros(0), 0.0
    for block in blocks:
        # The settings were made for 16-bit integers: the energy's logarithm depends on it.
        samples = block.astype(np.float64) * 32768
        emphasised = samples - _PRE_EMPHASIS * np.concatenate([[last], samples[:-1]])
        last = float(samples[-1]) if len(samples) else last
        rest = np.concatenate([rest, emphasised])
        count = max(0, (len(rest) - _FRAME) // _STEP + 1)
        if count:
            rows.append(_coefficients(rest[: (count - 1) * _STEP + _FRAME], count))
            rest = rest[count * _STEP :]
    if len(rest) > _FRAME - _STEP or not rows:
        rows.append(_coefficients(np.pad(rest, (0, max(0, _FRAME - len(rest)))), 1))
    return np.concatenate(rows).astype(np.float32)


def _coefficients(samples: np.ndarray, count: int) -> np.ndarray:
    frames = samples[np.arange(count)[:, None] * _STEP + np.arange(_FRAME)]
    power = np.square(np.abs(np.fft.rfft(frames, _FFT))) / _FFT
    energy = np.maximum(power.sum(axis=1), _SMALLEST)
    bands = np.log(np.maximum(power @ _filters().T, _SMALLEST))
    found = np.asarray(dct(bands, type=2, axis=1, norm="ortho"))[:, :NUM_COEFFICIENTS]
    found *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(NUM_COEFFICIENTS) / _LIFTER)
    found[:, 0] = np.log(energy)
    return found


@cache
def _filters() -> Float[np.ndarray, "filters bins"]:
    """Triangles whose corners are equally spaced on the mel scale, rounded down to bins of the spectrum."""
    highest = 2595 * np.log10(1 + _SAMPLE_RATE_HZ / 2 / 700)
    corners_hz = 700 * (10 ** (np.linspace(0, highest, _NUM_FILTERS + 2) / 2595) - 1)
    corners = np.floor((_FFT + 1) * corners_hz / _SAMPLE_RATE_HZ)
    bins = np.arange(_FFT // 2 + 1)[None]
    low, middle, high = (corners[start : start + _NUM_FILTERS, None] for start in range(3))
    rising = (bins - low) / np.maximum(middle - low, 1)
    falling = (high - bins) / np.maximum(high - middle, 1)
    return np.where(bins < middle, rising * (bins >= low), falling * (bins < high))
