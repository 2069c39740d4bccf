"""Where playback stands: the browser's clock, carried on between its reports."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ns_talking.viewer.pace import Pace

_DISPLAY_S = 0.03
"""From a picture that was sent to the screen: the way through the socket, decoding, the next repaint."""


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

    def report(self, time_s: float, playing: bool, now_s: float | None = None) -> None:
        """Take what the browser says about its clock.

        Args:
            time_s: Instant of the sound that is heard.
            playing: Whether it goes on.
            now_s: When that was, on the clock of `time.monotonic`; None is now.
        """
        self._time_s, self.playing = min(max(time_s, 0.0), self.duration_s), playing
        self._told_s = time.monotonic() if now_s is None else now_s

    def time_s(self, now_s: float | None = None) -> float:
        """Tell the instant of the sound that is heard now."""
        if not self.playing:
            return self._time_s
        now_s = time.monotonic() if now_s is None else now_s
        # Reports come several times a second; a browser that has gone must not be waited for.
        return self._wrapped(self._time_s + min(now_s - self._told_s, 1.0) * self.speed)

    def shown_s(self, now_s: float | None = None) -> float:
        """Tell the instant that a picture should show whose rendering begins now.

        It appears when it is rendered and sent, and stays until the next: halfway through that time sound and picture
        agree.
        """
        time_s = self.time_s(now_s)
        if not self.playing:
            return time_s
        ahead_s = self.pace.latency_s + _DISPLAY_S + self.pace.interval_s / 2
        return self._wrapped(time_s + ahead_s * self.speed)

    def of(self, duration_s: float) -> Playback:
        """Begin another sound at its start, with the same settings."""
        return replace(self, duration_s=duration_s, playing=False, _time_s=0.0)

    def _wrapped(self, time_s: float) -> float:
        if self.loop and self.duration_s > 0:
            return time_s % self.duration_s
        return min(time_s, self.duration_s)
