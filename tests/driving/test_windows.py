"""Laws of the context of audio windows."""

from __future__ import annotations

import numpy as np
import pytest

from ns_talking.audio.base import AudioFeatures
from ns_talking.audio.windowed import WindowedFeatures
from ns_talking.driving.windows import CONTEXT, context_frames, context_windows


@pytest.fixture
def features() -> AudioFeatures:
    values = np.random.default_rng(0).standard_normal((201, 5)).astype(np.float32)
    return AudioFeatures("mel", values, 100.0, 16, np.full(5, -8.0, np.float32), "test")


def test_context_of_a_frame_is_the_four_windows_before_it_its_own_and_three_after() -> None:
    np.testing.assert_array_equal(context_frames(np.array([10]))[0], [6, 7, 8, 9, 10, 11, 12, 13])


def test_every_context_row_is_the_window_of_its_frame(features: AudioFeatures) -> None:
    frames = np.array([20, 3, 21, 20])
    context = context_windows(features, frames, 25.0)
    assert context.shape == (4, CONTEXT, 5, 16)
    for row, frame in enumerate(frames):
        for place in range(CONTEXT):
            expected = features.windows(np.array([(frame - 4 + place) / 25]))[0]
            np.testing.assert_array_equal(context[row, place], expected)


def test_outside_windows_are_silent_for_tables_and_zero_for_windows_cut_beforehand(features: AudioFeatures) -> None:
    assert (context_windows(features, np.array([0]), 25.0)[0, 0] == -8).all()
    cut = WindowedFeatures("deepspeech", np.ones((9, 16, 29), np.float32))
    context = context_windows(cut, np.array([0, 8]), 25.0)
    np.testing.assert_array_equal(context[:, :, 0, 0], [[0, 0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0]])


@pytest.mark.parametrize("context", [1, 3, 8])
def test_windows_a_frame_apart_share_all_but_four_steps(features: AudioFeatures, context: int) -> None:
    windows = context_windows(features, np.array([20, 21]), 25.0, context)
    np.testing.assert_array_equal(windows[0, ..., 4:], windows[1, ..., :-4])
