"""Laws of the clock between the browser's reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from ns_talking.viewer.pace import Pace
from ns_talking.viewer.playback import Playback


def test_a_clock_that_plays_goes_on_between_reports_and_one_that_rests_does_not() -> None:
    playback = Playback(10.0, speed=0.5)
    playback.report(2.0, True, now_s=100.0)
    assert playback.time_s(100.4) == pytest.approx(2.2)
    playback.report(2.3, False, now_s=100.6)
    assert playback.time_s(101.5) == 2.3
    assert playback.begin(101.5)[1] == 2.3


def test_a_browser_that_has_gone_is_not_waited_for() -> None:
    playback = Playback(1000.0)
    playback.report(2.0, True, now_s=0.0)
    assert playback.time_s(500.0) == pytest.approx(5.0)


def test_time_stays_in_the_sound_and_starts_again_in_a_loop() -> None:
    playback = Playback(3.0)
    playback.report(2.9, True, now_s=0.0)
    assert playback.time_s(0.5) == 3.0
    playback.loop = True
    assert playback.time_s(0.5) == pytest.approx(0.4)
    playback.report(99.0, False)
    assert playback.time_s() == 3.0


def test_a_picture_is_rendered_for_the_middle_of_the_time_it_is_seen() -> None:
    playback = Playback(10.0, speed=2.0, pace=Pace(latency_s=0.1, interval_s=0.2, display_s=0.03))
    playback.report(1.0, True, now_s=0.0)
    shown_at_s, gone_at_s = 0.1 + 0.03, 0.3 + 0.03
    middle = (playback.time_s(shown_at_s) + playback.time_s(gone_at_s)) / 2
    assert playback.begin(0.0)[1] == pytest.approx(middle)


@dataclass
class Way:
    """What delays a clock's report, a picture's rendering, and its painting, and how often pictures begin."""

    report_s: float
    latency_s: float
    display_s: float
    interval_s: float

    def offset_s(self, speed: float = 1.0, loop: bool = False, seconds: float = 40.0) -> float:
        """Play, and tell how far pictures are ahead of the sound on average over the time that they are seen."""
        playback = Playback(1000.0 if not loop else 3.0, speed=speed, loop=loop)
        events = [(0.06 * k + self.report_s, 0, 0.06 * k) for k in range(int(seconds / 0.06))]
        starts = np.arange(self.report_s, seconds, self.interval_s)
        events += [(start, 1, start) for start in starts]
        painted: dict[float, tuple[int, float]] = {}
        offsets = []
        told = []
        for now_s, what, since_s in sorted(events):
            if what == 0:
                playback.report(since_s * speed % playback.duration_s, True, now_s)
                # With the clock goes the last picture that was painted by then.
                done = [start for start in painted if start + self.latency_s + self.display_s <= since_s]
                if done and done[-1] not in told:
                    told.append(done[-1])
                    paint_s = done[-1] + self.latency_s + self.display_s
                    playback.sent(painted[done[-1]][0], self.latency_s, self.interval_s)
                    playback.painted(painted[done[-1]][0], paint_s * speed % playback.duration_s)
            else:
                painted[now_s] = playback.begin(now_s)
        for start, (_, shown_s) in painted.items():
            if start > 0.6 * seconds:
                middle_s = start + self.latency_s + self.display_s + self.interval_s / 2
                apart_s = shown_s - middle_s * speed
                offsets.append(apart_s if not loop else (apart_s + 1.5) % 3.0 - 1.5)
        return float(np.mean(offsets))


@pytest.mark.parametrize(
    "way",
    [
        Way(report_s=0.0, latency_s=0.05, display_s=0.03, interval_s=0.08),
        Way(report_s=0.03, latency_s=0.08, display_s=0.25, interval_s=0.1),
        Way(report_s=0.4, latency_s=0.2, display_s=0.4, interval_s=0.25),
        Way(report_s=0.2, latency_s=0.7, display_s=0.05, interval_s=0.75),
    ],
)
def test_the_lead_makes_any_constant_delay_good(way: Way) -> None:
    assert way.offset_s() == pytest.approx(0, abs=0.005)
    assert way.offset_s(speed=0.5) == pytest.approx(0, abs=0.005)
    assert way.offset_s(speed=2.0) == pytest.approx(0, abs=0.005)
    assert way.offset_s(loop=True) == pytest.approx(0, abs=0.005)


def test_pictures_run_before_the_sound_does_once_it_is_ordered_to_play() -> None:
    playback = Playback(10.0)
    playback.report(4.0, False, now_s=0.0)
    playback.start(now_s=1.0)
    assert playback.playing and playback.time_s(1.0) == 4.0
    # The page begins after 0.4 s, and is believed at once; the next time that is expected more.
    before_s = playback.time_s(1.6)
    playback.report(4.2, True, now_s=1.6)
    assert playback.time_s(1.6) == pytest.approx(4.2) and before_s > 4.2
    playback.report(6.0, False, now_s=3.4)
    playback.start(now_s=5.0)
    assert playback.time_s(5.5) < 6.0 + before_s - 4.0 - 0.05


def test_a_sound_that_is_over_starts_from_its_beginning() -> None:
    playback = Playback(10.0)
    playback.report(10.0, False, now_s=0.0)
    playback.start(now_s=1.0)
    assert playback.time_s(1.0) == 0.0


def test_a_browser_that_may_not_play_is_believed() -> None:
    playback = Playback(10.0)
    playback.start(now_s=0.0)
    playback.report(0.0, False, now_s=0.2)
    assert not playback.playing and playback.time_s(5.0) == 0.0


def test_reports_that_come_late_do_not_move_the_clock_and_a_jump_does() -> None:
    playback = Playback(100.0)
    for k in range(50):
        late_s = 0.25 if k % 3 else 0.0
        playback.report(0.06 * k, True, now_s=0.06 * k + late_s)
        if k > 3:
            assert playback.time_s(0.06 * k + late_s) == pytest.approx(0.06 * k + late_s, abs=0.06)
    playback.report(50.0, True, now_s=3.2)
    assert playback.time_s(3.2) == 50.0
    playback.report(49.9, True, now_s=3.3)
    assert playback.time_s(3.3) == 49.9


def test_what_was_begun_before_a_jump_of_the_clock_teaches_nothing() -> None:
    playback = Playback(100.0)
    playback.report(1.0, True, now_s=0.0)
    number, _ = playback.begin(0.1)
    playback.sent(number, 0.1, None)
    display_s = playback.pace.display_s
    playback.report(30.0, True, now_s=0.2)
    playback.painted(number, 30.1)
    assert playback.pace.display_s == display_s


def test_another_sound_begins_at_its_start_and_keeps_the_pace() -> None:
    playback = Playback(10.0, pace=Pace(latency_s=0.3))
    playback.report(5.0, True)
    assert playback.of(2.0).pace is playback.pace
    assert playback.of(2.0).time_s() == 0.0
