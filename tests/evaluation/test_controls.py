from __future__ import annotations

import numpy as np
import pytest

from ns_talking.audio.base import AudioFeatures
from ns_talking.audio.windowed import WindowedFeatures
from ns_talking.evaluation.controls import EDITS, edited

RATE_HZ = 100.0


@pytest.fixture
def table() -> AudioFeatures:
    values = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    return AudioFeatures("mel", values, RATE_HZ, 8, np.full(3, -9, np.float32), "test")


def steps(features, first_s: float, last_s: float) -> np.ndarray:
    """The step in the middle of the window of every instant."""
    instants = np.arange(round(first_s * RATE_HZ), round(last_s * RATE_HZ)) / RATE_HZ
    return features.windows(instants)[:, :, 4]


@pytest.mark.parametrize("control", EDITS)
def test_every_control_changes_its_part_alone(table: AudioFeatures, control: str) -> None:
    found = edited(table, control, 4.0, 9.0)
    np.testing.assert_array_equal(steps(found, 0, 4), steps(table, 0, 4))
    np.testing.assert_array_equal(steps(found, 9, 10), steps(table, 9, 10))
    assert np.abs(steps(found, 4, 9) - steps(table, 4, 9)).min(axis=1).max() > 0
    assert (found.name, found.channels, found.window, found.duration_s) == ("mel", 3, 8, table.duration_s)


def test_shifted_sound_is_that_of_two_seconds_before(table: AudioFeatures) -> None:
    found = edited(table, "shifted", 4.0, 9.0)
    np.testing.assert_array_equal(steps(found, 6, 9), steps(table, 4, 7))


def test_shuffled_sound_keeps_its_seconds_but_none_in_its_place(table: AudioFeatures) -> None:
    found, before = steps(edited(table, "shuffled", 4.0, 9.0), 4, 9), steps(table, 4, 9)
    np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(before, axis=0))
    assert not (found == before).all(axis=1).any()


def test_reversed_sound_runs_backwards(table: AudioFeatures) -> None:
    np.testing.assert_array_equal(steps(edited(table, "reversed", 4.0, 9.0), 4, 9), steps(table, 4, 9)[::-1])


def test_silenced_sound_is_what_the_extractor_gives_for_silence(table: AudioFeatures) -> None:
    assert (steps(edited(table, "silenced", 4.0, 9.0), 4, 9) == -9).all()


def test_mean_sound_is_the_mean(table: AudioFeatures) -> None:
    found = steps(edited(table, "mean-sound", 4.0, 9.0), 4, 9)
    np.testing.assert_allclose(found, np.broadcast_to(table.values.mean(axis=0), found.shape), atol=1e-5)


def test_windows_cut_by_another_tool_are_refused() -> None:
    with pytest.raises(ValueError, match="cut into windows by another tool"):
        edited(WindowedFeatures("ave", np.zeros((5, 8, 3), np.float32)), "shifted", 0.0, 0.2)
