"""Laws of the clock between the browser's reports."""

from __future__ import annotations

import pytest

from ns_talking.viewer.pace import Pace
from ns_talking.viewer.playback import Playback


def test_a_clock_that_plays_goes_on_between_reports_and_one_that_rests_does_not() -> None:
    playback = Playback(10.0, speed=0.5)
    playback.report(2.0, True, now_s=100.0)
    assert playback.time_s(100.4) == pytest.approx(2.2)
    playback.report(2.3, False, now_s=100.6)
    assert playback.time_s(101.5) == 2.3
    assert playback.shown_s(101.5) == 2.3


def test_a_browser_that_has_gone_is_not_waited_for() -> None:
    playback = Playback(1000.0)
    playback.report(2.0, True, now_s=0.0)
    assert playback.time_s(500.0) == pytest.approx(3.0)


def test_time_stays_in_the_sound_and_starts_again_in_a_loop() -> None:
    playback = Playback(3.0)
    playback.report(2.9, True, now_s=0.0)
    assert playback.time_s(0.5) == 3.0
    playback.loop = True
    assert playback.time_s(0.5) == pytest.approx(0.4)
    playback.report(99.0, False)
    assert playback.time_s() == 3.0


def test_a_picture_is_rendered_for_the_middle_of_the_time_it_is_seen() -> None:
    playback = Playback(10.0, speed=2.0, pace=Pace(latency_s=0.1, interval_s=0.2))
    playback.report(1.0, True, now_s=0.0)
    shown_at_s, gone_at_s = 0.1 + 0.03, 0.3 + 0.03
    middle = (playback.time_s(shown_at_s) + playback.time_s(gone_at_s)) / 2
    assert playback.shown_s(0.0) == pytest.approx(middle)


def test_another_sound_begins_at_its_start_and_keeps_the_pace() -> None:
    playback = Playback(10.0, pace=Pace(latency_s=0.3))
    playback.report(5.0, True)
    assert playback.of(2.0).pace is playback.pace
    assert playback.of(2.0).time_s() == 0.0
