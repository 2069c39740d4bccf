"""What is skin by its colour, told by skin of the same frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

_FEWEST = 50
"""Pixels from which a colour can be told."""
_SIGMA_PER_MEDIAN = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
_LIKELY = 11.3
"""Squared distance within which 99 of 100 samples of a normal distribution of three dimensions lie."""
_OUTLIER = 3.0
"""Standard deviations, one level of the channel wider, beyond which a pixel of the face shows something else."""
_SHADE = 2.0
"""Factor on the spread of the lightness: under the chin it is darker than in the face."""
_LEAST_SPREAD = 2.0
"""Standard deviation in levels that every channel has at least: even skin has compression and noise."""


@dataclass(frozen=True)
class SkinColour:
    """The skin of one frame as a normal distribution in CIE Lab; our design."""

    middle: Float[np.ndarray, "3"]
    whitening: Float[np.ndarray, "3 3"]
    """Takes distances from the middle to standard deviations."""

    @staticmethod
    def of(pixels: UInt8[np.ndarray, "pixels 3"]) -> SkinColour | None:
        """Measure it on pixels of a face, BGR, some of which may show a beard or a shadow; None of too few."""
        if len(pixels) < _FEWEST:
            return None
        colours = _lab(pixels)
        middle = np.median(colours, axis=0)
        offset = colours - middle
        spread = _SIGMA_PER_MEDIAN * np.median(np.abs(offset), axis=0)
        offset = offset[(np.abs(offset) < _OUTLIER * (spread + 1)).all(axis=1)]
        stretch = np.array([_SHADE, 1.0, 1.0], dtype=np.float32)
        covariance = (offset.T @ offset / max(len(offset), 1) + _LEAST_SPREAD**2 * np.eye(3)) * np.outer(
            stretch, stretch
        )
        return SkinColour(middle, np.linalg.inv(np.linalg.cholesky(covariance)).T.astype(np.float32))

    def matches(self, pixels: UInt8[np.ndarray, "pixels 3"]) -> Bool[np.ndarray, " pixels"]:
        """Tell which pixels, BGR, may be skin."""
        if not len(pixels):
            return np.zeros(0, dtype=bool)
        return (((_lab(pixels) - self.middle) @ self.whitening) ** 2).sum(axis=1) < _LIKELY


def _lab(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(pixels)[:, None], cv2.COLOR_BGR2LAB)[:, 0].astype(np.float32)
