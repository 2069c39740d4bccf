"""Layers of a picture: head over torso over background."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def over(
    rgb: Float[Tensor, "*pixels 3"], alpha: Float[Tensor, "*pixels 1"], behind: Float[Tensor, "*pixels 3"]
) -> Float[Tensor, "*pixels 3"]:
    """Lay a picture with straight (not premultiplied) colour over another."""
    return rgb * alpha + behind * (1 - alpha)


def premultiplied_over(
    rgb: Float[Tensor, "*pixels 3"], alpha: Float[Tensor, "*pixels 1"], behind: Float[Tensor, "*pixels 3"]
) -> Float[Tensor, "*pixels 3"]:
    """Lay a rendered volume, whose colour is already weighed by its opacity, over a picture."""
    return rgb + behind * (1 - alpha)
