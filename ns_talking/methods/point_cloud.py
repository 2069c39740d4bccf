"""What Nerfstudio's point cloud exporter asks of a model, and an end to its search where there is nothing to find."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_OPAQUE = 0.5
"""Opacity above which the exporter keeps the point of a ray."""
_BATCHES = 8
_LEAST_SHARE = 1e-3
"""Where fewer rays than this give a point, a million points would take a thousand million rays."""


class PointCloudSource:
    """Tells the exporter about the background, and watches how many of its rays give a point.

    The exporter of Nerfstudio 1.1.5 draws rays until it has the points asked for: for ever where a head is transparent.
    """

    background_color = "random"
    """It is no constant colour."""

    def __init__(self) -> None:
        self._batches = self._rays = self._points = 0
        self._most = 0.0

    def points(self, rgb: Float[Tensor, "*rays 3"], accumulation: Float[Tensor, "*rays 1"]) -> Float[Tensor, "*rays 4"]:
        """Give colour and opacity of the head along a batch of rays.

        Args:
            rgb: Times the opacity.
            accumulation: The opacity.

        Raises:
            ValueError: When several batches gave next to no point.
        """
        self._batches += 1
        self._rays += accumulation.numel()
        self._points += int((accumulation > _OPAQUE).sum())
        self._most = max(self._most, float(accumulation.max()))
        if self._batches >= _BATCHES and self._points < _LEAST_SHARE * self._rays:
            raise ValueError(
                f"Only {self._points} of {self._rays} rays meet a head that is more opaque than {_OPAQUE:g} (at most "
                f"{self._most:.2f}), so there is no surface to take points from. Train longer: `ns-talking doctor "
                "CONFIG` tells whether the head has formed."
            )
        return torch.cat([(rgb / accumulation.clamp(min=1e-6)).clamp(0, 1), accumulation], dim=-1)
