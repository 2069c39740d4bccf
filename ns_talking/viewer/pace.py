"""How large pictures are while sound plays, and how long their way to the eye takes."""

from __future__ import annotations

from dataclasses import dataclass

_SMOOTHING = 0.2
_LONGEST_S = 2.0
"""A picture that took longer met a hiccup, which says nothing about the next one."""
_AIM_S = 0.08
"""A picture should take no longer: it is late by that much, and stands for as long."""
_ROOM = 0.6
"""Pictures grow where they take less than this share of it."""
_HEIGHTS_PX = 64, 512
"""Below the first nobody sees a mouth move, and what a picture costs is no longer its size."""


@dataclass
class Pace:
    """Measures pictures, and chooses their size by what they take.

    Nerfstudio chooses it by rays per second, which fall with the size where a picture has a cost of its own: pictures
    then shrink to stamps and come no faster.
    """

    latency_s: float = 0.1
    """From the beginning of a picture's rendering until it is sent, on average of the last ones."""
    interval_s: float = 0.1
    """From one picture to the next."""
    display_s: float = 0.03
    """From a picture that was sent until it is painted: the socket, decoding, the next repaint. Pages that do not tell
    leave it at its default. What the clock here lags behind the sound is part of it."""
    height_px: float = 128.0

    @property
    def ahead_s(self) -> float:
        """How far a picture whose rendering begins now lies ahead of the sound.

        It appears when it is rendered, sent and painted, and stays until the next: halfway through that time sound and
        picture agree.
        """
        return self.latency_s + self.display_s + self.interval_s / 2

    def sent(self, latency_s: float, interval_s: float | None) -> None:
        """Take what a picture took.

        Args:
            latency_s: From the beginning of its rendering until it was sent.
            interval_s: Since the one before was sent; None for the first since the sound plays.
        """
        self.latency_s += _SMOOTHING * (min(latency_s, _LONGEST_S) - self.latency_s)
        if interval_s is not None:
            self.interval_s += _SMOOTHING * (min(interval_s, _LONGEST_S) - self.interval_s)
        if self.latency_s > _AIM_S:
            self.height_px *= 0.93
        elif self.latency_s < _ROOM * _AIM_S:
            self.height_px *= 1.05
        self.height_px = min(max(self.height_px, _HEIGHTS_PX[0]), _HEIGHTS_PX[1])

    def painted(self, display_s: float) -> None:
        """Take how long after it was sent a page painted a picture."""
        self.display_s += _SMOOTHING * (min(max(display_s, -_LONGEST_S), _LONGEST_S) - self.display_s)

    def size(self, aspect: float, most_px: int) -> tuple[int, int]:
        """Choose height and width of the next picture in px.

        Args:
            aspect: Width over height of the page.
            most_px: Longest side that the page allows.
        """
        height = min(self.height_px, most_px, most_px / aspect)
        return max(1, round(height)), max(1, round(height * aspect))
