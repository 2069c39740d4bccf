"""Sines and cosines of octave-spaced frequencies, which let a small network draw fine detail."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def frequency_encoding(values: Float[Tensor, "batch channels"], degree: int) -> Float[Tensor, "batch encoded"]:
    """Append sines and cosines of octave-spaced frequencies to the values themselves.

    Source:
        NeRF (Mildenhall et al., ECCV 2020), equation 4, without the factor pi, as in RAD-NeRF.

    Args:
        values: Coordinates of order one.
        degree: Number of octaves.

    Returns:
        `channels * (1 + 2 * degree)` columns: the values; then, octave by octave, the sines and the cosines of all
        channels.
    """
    octaves = 2.0 ** torch.arange(degree, device=values.device, dtype=values.dtype)
    angles = values[:, None, :] * octaves[:, None]
    waves = torch.stack([angles, angles + math.pi / 2], dim=2).sin()
    return torch.cat([values, waves.flatten(1)], dim=1)
