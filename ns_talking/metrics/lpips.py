"""LPIPS, whose AlexNet weights are fetched once and never at import."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ns_talking.metrics.base import MetricContext
from ns_talking.metrics.image import RegionMean, region_figures

_WEIGHTS = "alexnet-owt-7be5be79.pth"
"""torchvision's file; the digits are the start of its SHA-256, which torch.hub checks."""


class LPIPS:
    """Perceptual distance of image patches.

    Source:
        Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018; AlexNet
        features, through torchmetrics.

    Args:
        device: Where the images will be.

    Raises:
        FileNotFoundError: When the weights are neither in the cache nor within reach; the message says where to put
            them.
    """

    def __init__(self, device: torch.device) -> None:
        from torchmetrics.functional.image.lpips import _NoTrainLpips  # Heavy, and needed in one phase only.

        try:
            self.network = _NoTrainLpips(net="alex").eval().requires_grad_(False).to(device)
        except (URLError, OSError, RuntimeError) as error:
            folder = Path(torch.hub.get_dir()) / "checkpoints"
            raise FileNotFoundError(
                f"LPIPS needs AlexNet's weights, and they could not be fetched ({error}). Put the file {_WEIGHTS} "
                f"(https://download.pytorch.org/models/{_WEIGHTS}) into {folder}."
            ) from error

    def __call__(
        self, rgb: Float[Tensor, "batch 3 height width"], target: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, ""]:
        """Mean distance of images in [0, 1]; sides below 32 px are padded with black."""
        pad = [max(0, 32 - rgb.shape[3]), max(0, 32 - rgb.shape[2])]
        rgb, target = (nn.functional.pad(image, (0, pad[0], 0, pad[1])) for image in (rgb, target))
        return self.network(rgb.clamp(0, 1), target, normalize=True).mean()


class Lpips(RegionMean):
    """LPIPS of the frame and of both boxes, with AlexNet as the ER-NeRF family's tables have it."""

    figures = region_figures("lpips", "LPIPS", "", "lower", "Perceptual distance on AlexNet (Zhang et al. 2018)")

    def __init__(self, context: MetricContext) -> None:
        super().__init__(context)
        self._distance = LPIPS(context.device)

    @torch.no_grad()
    def measure(self, rgb: Float[Tensor, "height width 3"], target: Float[Tensor, "height width 3"]) -> Tensor:
        """Compare one box of one frame."""
        return self._distance(*(image.permute(2, 0, 1)[None] for image in (rgb, target)))
