"""Laws of the size of pictures while sound plays."""

from __future__ import annotations

import pytest

from ns_talking.viewer.pace import Pace


def settled(fixed_s: float, per_pixel_s: float) -> Pace:
    """The pace of a machine whose pictures cost this much."""
    pace = Pace()
    for _ in range(400):
        height, width = pace.size(4 / 3, 512)
        seconds = fixed_s + per_pixel_s * height * width
        pace.sent(seconds, seconds)
    return pace


def test_slow_pictures_are_learned_and_one_hiccup_is_not() -> None:
    pace = Pace(latency_s=0.1, interval_s=0.1)
    pace.sent(60.0, None)
    assert pace.latency_s < 0.5 and pace.interval_s == 0.1
    for _ in range(40):
        pace.sent(0.3, 0.4)
    assert (pace.latency_s, pace.interval_s) == (pytest.approx(0.3, abs=0.01), pytest.approx(0.4, abs=0.01))


def test_pictures_are_as_large_as_the_time_allows() -> None:
    slow, fast = settled(0.02, 2e-6), settled(0.02, 5e-7)
    assert 64 < slow.height_px < fast.height_px < 512
    assert slow.latency_s == pytest.approx(0.06, abs=0.025)
    assert settled(0.001, 1e-9).size(1.0, 512) == (512, 512)


def test_pictures_that_cost_the_same_whatever_their_size_do_not_become_stamps() -> None:
    assert settled(0.5, 1e-9).size(4 / 3, 512) == (64, 85)


def test_the_page_limits_the_longer_side() -> None:
    assert Pace(height_px=400.0).size(2.0, 256) == (128, 256)
