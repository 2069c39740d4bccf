"""How loud a sound is over time, and where it is silent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from ns_talking.audio.io import SAMPLE_RATE_HZ, stream_audio

LEVEL_RATE_HZ = 100.0
"""Levels per second."""
_QUIETEST_DB = -90.0
_BELOW_SPEECH_DB = 25.0
_NEVER_SPEECH_DB = -70.0
_SHORTEST_STEPS = 20


def sound_levels(
    path: Path, start_s: float | None = None, duration_s: float | None = None
) -> tuple[Float[np.ndarray, " steps"], float]:
    """Measure the level of a sound 100 times per second, at constant memory for the samples.

    Args:
        path: Any file with sound.
        start_s: As in `read_audio`.
        duration_s: Length at most; None reads to the end.

    Returns:
        Levels in dB of full scale, -90 at least, and the share of samples at full scale.
    """
    step = round(SAMPLE_RATE_HZ / LEVEL_RATE_HZ)
    levels, clipped, count = [], 0, 0
    rest = np.zeros(0, np.float32)
    for block in stream_audio(path, SAMPLE_RATE_HZ, 10.0, start_s, duration_s):
        clipped, count = clipped + int((np.abs(block) >= 0.999).sum()), count + len(block)
        samples = np.concatenate([rest, block])
        whole = len(samples) // step * step
        rest = samples[whole:]
        power = (samples[:whole].reshape(-1, step).astype(np.float64) ** 2).mean(axis=1)
        levels.append(np.maximum(10 * np.log10(np.maximum(power, 1e-12)), _QUIETEST_DB))
    return np.concatenate(levels) if levels else np.zeros(0), clipped / max(count, 1)


def silent_steps(level_db: Float[np.ndarray, " steps"]) -> Bool[np.ndarray, " steps"]:
    """Tell where a sound is silent: 25 dB under its loud tenth, or under -70 dB, for 0.2 s or more.

    Args:
        level_db: What `sound_levels` measured.
    """
    if len(level_db) == 0:
        return np.zeros(0, dtype=bool)
    quiet = level_db < max(float(np.percentile(level_db, 90)) - _BELOW_SPEECH_DB, _NEVER_SPEECH_DB)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(int), [0]])))
    silent = np.zeros(len(level_db), dtype=bool)
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        silent[begin:end] = end - begin >= _SHORTEST_STEPS
    return silent
