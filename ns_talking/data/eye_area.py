"""How large the eyes look in every frame of a clip, and how a blink that was asked for changes that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ns_talking.data.format import Portrait
from ns_talking.data.landmarks import eye_area, scheme
from ns_talking.utils.mapped import measured


@dataclass(frozen=True)
class EyeAreas:
    """The area of both eyes over a clip, in percent of the image."""

    measured: Float[np.ndarray, " frames"]
    """Of every frame; interpolated where there is no face."""
    blink: Float[np.ndarray, " frames"]
    """The clip's own blinks: 0 open, 1 closed."""
    slope: float
    """Change of the area from an open to a closed eye, below 0."""

    @classmethod
    def of(cls, portrait: Portrait) -> EyeAreas:
        """Measure the areas of a clip, and fit a line over the blinks of its training frames."""
        layout = scheme(portrait.landmark_scheme)
        areas = measured(portrait.landmarks, lambda points: eye_area(points, layout))
        areas *= 100 / (portrait.width * portrait.height)
        frames = np.arange(portrait.num_frames)
        known = np.isfinite(areas)
        areas = np.interp(frames, frames[known], areas[known])
        train = [frame.index for frame in portrait.split("train")]
        blink, area = portrait.blink[train].astype(np.float64), areas[train]
        spread = blink.std()
        slope = float(np.mean((blink - blink.mean()) * (area - area.mean())) / spread**2) if spread > 0.02 else 0.0
        # A clip without a blink, or with nonsense for one: a closed eye has no area.
        slope = slope if slope < 0 else -float(np.median(area))
        return cls(areas.astype(np.float32), portrait.blink.astype(np.float32), slope)

    def of_frames(self, source: Int[np.ndarray, " frames"]) -> Float[Tensor, "frames 2"]:
        """Give the measured area and the clip's own blink of frames.

        Args:
            source: Frame of the clip that lends the pose and the eyes to each of them.
        """
        return torch.from_numpy(np.stack([self.measured[source], self.blink[source]], axis=1))

    def at(self, eyes: Float[Tensor, "wanted 2"], blink: Float[Tensor, " wanted"]) -> Float[Tensor, " wanted"]:
        """Give the area of frames: as measured while the blink is the clip's own, else moved along the line.

        Args:
            eyes: Rows of `of_frames`.
            blink: Wanted: 0 open, 1 closed.
        """
        measured, own = eyes.unbind(dim=1)
        return (measured + self.slope * (blink - own)).clamp(min=0)
