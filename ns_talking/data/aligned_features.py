"""Audio features read at other instants than the frames' own, for datasets whose sound and frames count differently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ns_talking.driving.track import FeatureTable


@dataclass(frozen=True)
class AlignedFeatures:
    """A feature table in which every frame of the clip has its own instant of the sound.

    Between frames, and beyond the ends, the sound runs on from the nearest frame.
    """

    table: FeatureTable
    audio_frames: Int[np.ndarray, " frames"]
    """Instant of the sound that belongs to each frame, counted in frames."""
    fps: float

    @property
    def name(self) -> str:
        """Name of the features, for people."""
        return self.table.name

    @property
    def identity(self) -> str:
        """Which extractor made them; the alignment belongs to the clip, not to the features."""
        return self.table.identity

    @property
    def channels(self) -> int:
        """Numbers per step."""
        return self.table.channels

    @property
    def window(self) -> int:
        """Steps per window."""
        return self.table.window

    @property
    def duration_s(self) -> float:
        """Length of the clip in seconds."""
        return len(self.audio_frames) / self.fps

    def steps_per_frame(self, fps: float) -> int | None:
        """Count the steps from the window of one frame to that of the next; None where it is no whole number."""
        return self.table.steps_per_frame(fps)

    def windows(self, centres_s: Float[np.ndarray, " frames"]) -> Float[np.ndarray, "frames channels window"]:
        """Cut one window around the sound of each instant of the clip.

        Args:
            centres_s: Instants of the clip in seconds.
        """
        frames = np.floor(np.asarray(centres_s, dtype=np.float64) * self.fps + 0.5).astype(np.int64)
        nearest = np.clip(frames, 0, len(self.audio_frames) - 1)
        shift_s = (self.audio_frames[nearest] - nearest) / self.fps
        return self.table.windows(centres_s + shift_s)
