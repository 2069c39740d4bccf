"""Where playback stands: the browser's clock, carried on between its reports, and what became of each picture."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ns_talking.viewer.pace import Pace

_JUMP_S = 0.3
"""A clock that is further ahead than was expected was moved there."""
_LATE_S = 1.0
"""A clock that is further behind was moved or has stopped; else its report was on its way for longer."""
_DRIFT = 0.1
"""Share of a late report that is believed."""
_GONE_S = 3.0
"""A browser that has said nothing for longer has gone. Reports pause while someone moves a slider."""
_OVER_S = 0.1
"""A sound that rests this close to its end is over, and starts again."""
_KEPT = 64
"""Pictures that are remembered until a page says that it painted them."""


@dataclass
class _Picture:
    began_s: float
    """Instant of the sound when its rendering began."""
    latency_s: float | None = None
    """Until it was sent; None before."""


@dataclass
class Playback:
    """The clock of the sound that plays."""

    duration_s: float
    playing: bool = False
    speed: float = 1.0
    loop: bool = False
    pace: Pace = field(default_factory=Pace)
    """How long pictures take."""
    _time_s: float = 0.0
    _told_s: float = 0.0
    _reported_s: float = 0.0
    _start_s: float = 0.15
    """From an order to play until the sound does."""
    _ordered: tuple[float, float] | None = None
    """Instant of the sound and time of an order to play that no page has reported on yet."""
    _number: int = 0
    _pictures: dict[int, _Picture] = field(default_factory=dict)

    def report(self, time_s: float, playing: bool, now_s: float | None = None) -> None:
        """Take what the browser says about its clock.

        Reports take their time, and not always the same: those that were quickest are followed, a later one counts
        little.

        Args:
            time_s: Instant of the sound that is heard.
            playing: Whether it goes on.
            now_s: When that was, on the clock of `time.monotonic`; None is now.
        """
        now_s = time.monotonic() if now_s is None else now_s
        time_s = min(max(time_s, 0.0), self.duration_s)
        if self._ordered is not None:
            from_s, ordered_s = self._ordered
            self._ordered, self._reported_s = None, time_s
            if playing:
                took_s = now_s - ordered_s - self._since(from_s, time_s) / self.speed
                if 0 <= took_s < _LATE_S:
                    self._start_s += 0.5 * (took_s - self._start_s)
        elif playing and self.playing:
            expected_s = self.time_s(now_s)
            late_s = self._since(time_s, expected_s)
            went_back = self._since(self._reported_s, time_s) < 0
            self._reported_s = time_s
            if went_back or not -_JUMP_S < late_s / self.speed < _LATE_S:
                self._pictures.clear()
            elif late_s > 0:
                time_s = self._wrapped(expected_s - _DRIFT * late_s)
        else:
            self._reported_s = time_s
            self._pictures.clear()
        self._time_s, self.playing, self._told_s = time_s, playing, now_s

    def start(self, now_s: float | None = None) -> None:
        """Expect that the sound begins to play after as long as it usually takes, so that pictures are there by then.

        Args:
            now_s: When it was ordered to, as above.
        """
        now_s = time.monotonic() if now_s is None else now_s
        from_s = 0.0 if self._time_s > self.duration_s - _OVER_S else self._time_s
        self._ordered = from_s, now_s
        self._time_s, self.playing, self._told_s = from_s, True, now_s + self._start_s
        self._pictures.clear()

    def time_s(self, now_s: float | None = None) -> float:
        """Tell the instant of the sound that is heard now."""
        if not self.playing:
            return self._time_s
        now_s = time.monotonic() if now_s is None else now_s
        since_s = min(now_s - self._told_s, _GONE_S)
        if self._ordered is not None:
            since_s = max(since_s, 0.0)
        return self._wrapped(self._time_s + since_s * self.speed)

    def begin(self, now_s: float | None = None) -> tuple[int, float]:
        """Begin a picture.

        Returns:
            Its number, and the instant of the sound that it should show.
        """
        time_s = self.time_s(now_s)
        self._number += 1
        if not self.playing:
            return self._number, time_s
        self._pictures[self._number] = _Picture(time_s)
        self._pictures.pop(self._number - _KEPT, None)
        return self._number, self._wrapped(time_s + self.pace.ahead_s * self.speed)

    def sent(self, number: int, latency_s: float, interval_s: float | None) -> None:
        """Take what a picture took until it was sent.

        Args:
            number: Of the picture.
            latency_s: Since its rendering began.
            interval_s: Since the one before was sent; None for the first since the sound plays.
        """
        picture = self._pictures.get(number)
        if picture is not None:
            picture.latency_s = latency_s
            self.pace.sent(latency_s, interval_s)

    def painted(self, number: int, time_s: float) -> None:
        """Take when a page painted a picture; those from before a jump of the clock say nothing.

        Args:
            number: Of the picture.
            time_s: Instant of the sound that was heard then.
        """
        picture = self._pictures.pop(number, None)
        if picture is not None and picture.latency_s is not None:
            # Of the sound's own time, so that whatever delays the clock's reports is made good as well.
            self.pace.painted(self._since(picture.began_s, time_s) / self.speed - picture.latency_s)

    def of(self, duration_s: float) -> Playback:
        """Begin another sound at its start, with the same settings."""
        return replace(self, duration_s=duration_s, playing=False, _time_s=0.0, _ordered=None, _pictures={})

    def _wrapped(self, time_s: float) -> float:
        if self.loop and self.duration_s > 0:
            return time_s % self.duration_s
        return min(time_s, self.duration_s)

    def _since(self, before_s: float, after_s: float) -> float:
        """Seconds of sound from one instant to another, the short way round where the sound is a loop."""
        seconds = after_s - before_s
        if self.loop and self.duration_s > 0:
            return (seconds + self.duration_s / 2) % self.duration_s - self.duration_s / 2
        return seconds
