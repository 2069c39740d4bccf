"""What Nerfstudio's point cloud exporter asks of a model, and an end to its search where there is nothing to find."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from nerfstudio.data.scene_box import OrientedBox
from torch import Tensor

_OPAQUE = 0.5
"""Opacity above which the exporter keeps the point of a ray."""
_BATCHES = 8
_LEAST_SHARE = 1e-3
"""Where fewer rays than this give a point, a million points would take a thousand million rays."""


class PointCloudSource:
    """Tells the exporter about the background, and watches how many of its rays give a point.

    The exporter of Nerfstudio 1.1.5 draws rays until it has the points asked for: for ever where a head is transparent,
    or outside of the box that crops it.
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
        if self._batches == 0:
            watch_crops()  # The exporter crops what this gives.
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


class CroppedPoints:
    """Counts the points that a box lets through, of all that it was asked about."""

    def __init__(self) -> None:
        self._batches = self._points = self._inside = 0
        self._low = torch.full((3,), torch.inf)
        self._high = -self._low

    def take(self, points: Float[Tensor, "points 3"], inside: Bool[Tensor, " points"]) -> None:
        """Take what a box said about a batch of points.

        Args:
            points: In the portrait's space.
            inside: Whether each is in the box.

        Raises:
            ValueError: When several batches were next to all outside.
        """
        self._batches += 1
        self._points += len(points)
        self._inside += int(inside.sum())
        if len(points):
            self._low = torch.minimum(self._low, points.amin(dim=0).cpu())
            self._high = torch.maximum(self._high, points.amax(dim=0).cpu())
        if self._batches >= _BATCHES and self._points and self._inside < _LEAST_SHARE * self._points:
            low, high = (" ".join(f"{value:.2f}" for value in corner) for corner in (self._low, self._high))
            raise ValueError(
                f"Only {self._inside} of {self._points} points of the head lie in the box that --obb-center, "
                f"--obb-rotation and --obb-scale describe. The points reach from ({low}) to ({high}): move the box "
                "there, or leave these options away to export the whole head."
            )


def watch_crops() -> None:
    """Let the exporter's boxes count what they let through, in this process from now on."""
    within = OrientedBox.within
    if hasattr(within, "watched"):
        return

    def watched(box: OrientedBox, pts: Tensor) -> Tensor:
        inside = within(box, pts)
        vars(box).setdefault("cropped_points", CroppedPoints()).take(pts, inside)
        return inside

    watched.watched = True  # pyright: ignore[reportFunctionMemberAccess] # a mark on the function itself
    OrientedBox.within = watched
