"""Whether sound and lips part in the course of a clip, which no constant shift mends."""

from __future__ import annotations

import numpy as np

from ns_talking.audio.levels import LEVEL_RATE_HZ
from ns_talking.metrics.lip_sound import lip_sound_lag
from ns_talking.process.clip_facts import ClipFacts
from ns_talking.process.step import FPS
from ns_talking.utils.verdicts import Verdict

_MOST_S = 0.08
"""Two frames: as much as viewers notice, and more than the lag of half a minute is uncertain."""
_CLEAR = 0.25


def drift(facts: ClipFacts) -> Verdict:
    """Compare the offset of sound and lips in both halves: a wrong frame rate makes it grow."""
    name, reason = "drift", "A model learns one offset, not one that grows."
    half = len(facts.aperture) // 2
    lags = []
    for first, last in ((0, half), (half, len(facts.aperture))):
        level = facts.level_db[round(first / FPS * LEVEL_RATE_HZ) : round(last / FPS * LEVEL_RATE_HZ)]
        lag, curve = lip_sound_lag(facts.aperture[first:last], level, FPS)
        best = int(np.argmax(curve))
        if curve[best] < _CLEAR:
            return Verdict(name, "pass", "not measured: lips and loudness hardly go together", reason, "")
        lags.append(float(lag[best]))
    found = f"sound {lags[0] * 1000:+.0f} ms after the lips in the first half, {lags[1] * 1000:+.0f} ms in the second"
    if abs(lags[1] - lags[0]) <= _MOST_S:
        return Verdict(name, "pass", found, reason, "")
    return Verdict(name, "fail", found, reason, "Was the video's frame rate changed? Process the original video.")
