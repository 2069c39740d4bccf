"""Sound that parts from the lips is told from sound that is late throughout."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from clip_facts import good_facts

from ns_talking.audio.levels import LEVEL_RATE_HZ
from ns_talking.process.drift import drift
from ns_talking.utils.verdicts import Verdict


def judged(late_s: np.ndarray) -> Verdict:
    """Judge two minutes in which the sound is late by so much at each of 3000 frames."""
    instants = np.arange(3000) / 25
    generator = np.random.default_rng(0)
    waves = [(rate, generator.uniform(0, 6)) for rate in generator.uniform(2, 6, 12)]

    def opening(time: np.ndarray) -> np.ndarray:
        return np.sum([np.sin(2 * np.pi * rate * time + phase) for rate, phase in waves], axis=0)

    steps = np.arange(round(120 * LEVEL_RATE_HZ)) / LEVEL_RATE_HZ
    level = -20 + 2 * opening(steps - np.interp(steps, instants, late_s))
    return drift(dataclasses.replace(good_facts(), aperture=opening(instants), level_db=level))


@pytest.mark.parametrize("late_s", [-0.1, 0.0, 0.1])
def test_a_constant_offset_is_no_drift(late_s: float) -> None:
    verdict = judged(np.full(3000, late_s))
    assert verdict.level == "pass" and f"{1000 * late_s:+.0f} ms" in verdict.found


def test_an_offset_that_grows_is_one_and_its_cause_is_guessed() -> None:
    verdict = judged(np.repeat([0.0, 0.16], 1500))
    assert verdict.level == "fail" and "frame rate" in verdict.advice


def test_lips_that_do_not_follow_the_sound_say_nothing() -> None:
    assert "not measured" in drift(good_facts()).found
