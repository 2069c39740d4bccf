"""Who speaks when: how surely somebody is heard at each instant, from the loudness alone, without a model.

Loudness says little in itself: one recording's pauses are louder than another's speech. So the thresholds lie between
the sound's own noise floor and its own loud parts, a higher one where speech begins and a lower one where it ends.
Short gaps, such as those within a word, are no pauses; single clicks are no speech. Speech is widened a little, since
lips open before they are heard, and begins and ends gradually.

Source:
    Our design: hysteresis between percentiles of the level.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from ns_talking.audio.io import SAMPLE_RATE_HZ, stream_audio

_HOP = SAMPLE_RATE_HZ // 100
_RATE_HZ = 100
"""Levels per second."""
_FLOOR, _LOUD = 10, 95
"""Percentiles of the level that stand for the noise floor and for loud speech."""
_RANGE_DB = 50.0
"""The noise floor counts as no further below loud speech than this, so that digital silence does not make a breath
speech."""
_BEGINS, _ENDS = 0.3, 0.2
"""Where between floor and loud speech begins and ends."""
_LEAST_RANGE_DB = 6.0
"""Where loud and quiet parts are closer than this, all of the sound is one or the other."""
_INAUDIBLE_DB = -55.0
"""Below this level, relative to full scale, nothing is speech."""
_CLICK_S, _GAP_S = 0.06, 0.3
"""Shorter sound is no speech, shorter quiet no pause."""
_LEAD_S, _HANG_S = 0.12, 0.12
"""By how much speech is widened before its beginning and behind its end."""
_EASE_S = 0.24
"""Time in which activity rises from 0 to 1 or falls back."""


def voice_activity(
    sound: Path | Iterable[Float[np.ndarray, " samples"]], num_frames: int, fps: float
) -> Float[np.ndarray, " frames"]:
    """Say how surely somebody is speaking at each frame.

    Args:
        sound: A file with sound, or blocks of mono 16 kHz samples.
        num_frames: Frames of the video; beyond the sound there is silence.
        fps: Frames per second.

    Returns:
        0 in pauses, 1 in speech, in between where one becomes the other.
    """
    blocks = stream_audio(sound) if isinstance(sound, Path) else sound
    active = _widened(_speaking(_levels_db(blocks)))
    ease = np.hanning(round(_EASE_S * _RATE_HZ) + 2)[1:-1]
    margin = len(ease)
    eased = np.convolve(np.pad(active.astype(np.float64), margin, mode="edge"), ease / ease.sum(), mode="same")
    instants = np.arange(num_frames) / fps * _RATE_HZ
    return np.interp(instants, np.arange(len(active)), eased[margin:-margin], right=0.0).astype(np.float32)


def _levels_db(blocks: Iterable[Float[np.ndarray, " samples"]]) -> Float[np.ndarray, " levels"]:
    """Measure the level of every 10 ms, in dB of full scale; 4 bytes each, so that an hour takes 1.5 MB."""
    parts = []
    held = np.zeros(0, dtype=np.float32)
    for block in blocks:
        held = np.concatenate([held, block.astype(np.float32)])
        whole = len(held) // _HOP * _HOP
        parts.append(np.square(held[:whole].reshape(-1, _HOP)).mean(axis=1))
        held = held[whole:]
    if len(held):
        parts.append(np.square(held).mean(keepdims=True))
    power = np.concatenate([*parts, np.zeros(0 if any(map(len, parts)) else 1)]).astype(np.float64)
    # Mean over 30 ms: a period of a deep voice is as long as one level.
    return 10 * np.log10(np.convolve(np.pad(power, 1, mode="edge"), np.full(3, 1 / 3), mode="valid") + 1e-12)


def _speaking(levels_db: Float[np.ndarray, " levels"]) -> Bool[np.ndarray, " levels"]:
    floor, loud = np.percentile(levels_db, [_FLOOR, _LOUD])
    if loud < _INAUDIBLE_DB:
        return np.zeros(len(levels_db), dtype=bool)
    if loud - floor < _LEAST_RANGE_DB:
        return np.ones(len(levels_db), dtype=bool)
    floor = max(floor, loud - _RANGE_DB)
    begins, ends = (max(floor + share * (loud - floor), _INAUDIBLE_DB) for share in (_BEGINS, _ENDS))
    # A stretch above the lower threshold is speech if it reaches the higher one somewhere.
    stretches = _numbered(levels_db > ends)
    reached = np.zeros(int(stretches.max()) + 1, dtype=bool)
    reached[np.unique(stretches[levels_db > begins])] = True
    reached[0] = False
    return reached[stretches]


def _widened(speaking: Bool[np.ndarray, " levels"]) -> Bool[np.ndarray, " levels"]:
    """Drop clicks, close gaps, and begin early and end late."""
    click, gap = round(_CLICK_S * _RATE_HZ), round(_GAP_S * _RATE_HZ)
    speech = ~_longer(~_longer(speaking, click), gap)
    lead, hang = round(_LEAD_S * _RATE_HZ), round(_HANG_S * _RATE_HZ)
    # A level is near speech that begins up to a lead later, or ended up to a hang ago.
    padded = np.pad(speech, (hang, lead))
    return np.lib.stride_tricks.sliding_window_view(padded, lead + hang + 1).any(axis=1)


def _longer(true: Bool[np.ndarray, " levels"], least: int) -> Bool[np.ndarray, " levels"]:
    """Keep runs of at least so many levels; a run at an end of the sound is kept whatever its length."""
    runs = _numbered(true)
    lengths = np.bincount(runs)
    keep = lengths >= least
    keep[[runs[0], runs[-1]]] = True
    keep[0] = False
    return keep[runs]


def _numbered(true: Bool[np.ndarray, " levels"]) -> Int[np.ndarray, " levels"]:
    """Number the runs of what is true from 1 on; 0 is what is not."""
    begins = true & ~np.concatenate([[False], true[:-1]])
    return np.where(true, np.cumsum(begins), 0)
