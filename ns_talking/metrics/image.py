"""Metrics of single images."""

from __future__ import annotations

import pytorch_msssim
from jaxtyping import Bool, Float
from torch import Tensor


def psnr(
    rgb: Float[Tensor, "*pixels 3"], target: Float[Tensor, "*pixels 3"], mask: Bool[Tensor, "*pixels"] | None = None
) -> Float[Tensor, ""]:
    """Peak signal-to-noise ratio in dB of colours in [0, 1], over all pixels or those of a mask.

    Args:
        rgb: Rendered colours.
        target: Real colours.
        mask: Pixels that count; None counts all.
    """
    error = (rgb - target).square()
    if mask is not None:
        error = error[mask]
    return -10 * error.mean().clamp(min=1e-10).log10()


def ssim(rgb: Float[Tensor, "height width 3"], target: Float[Tensor, "height width 3"]) -> Float[Tensor, ""]:
    """Structural similarity of colours in [0, 1], with an 11 x 11 Gaussian window.

    Source:
        Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004. By
        pytorch-msssim, since torchmetrics would load transformers into every training.
    """
    images = [image.permute(2, 0, 1)[None] for image in (rgb, target)]
    return pytorch_msssim.ssim(*images, data_range=1.0)
