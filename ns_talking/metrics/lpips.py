"""LPIPS, on AlexNet's weights."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ns_talking.metrics.base import MetricContext
from ns_talking.metrics.image import RegionMean, region_figures
from ns_talking.metrics.weights import ALEXNET
from ns_talking.utils.model_files import find_file
from ns_talking.utils.progress import progress

_SMALLEST_PX = 64


class LPIPS:
    """Perceptual distance of image patches.

    Source:
        Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018; AlexNet
        features, through torchmetrics, which brings the paper's linear layers.

    Args:
        weights: AlexNet's, as torchvision publishes them.
        device: Where the images will be.

    Raises:
        ValueError: When the file holds something else.
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        from torchmetrics.functional.image.lpips import _NoTrainLpips  # Heavy, and needed in one phase only.

        network = _NoTrainLpips(net="alex", pnet_rand=True)
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            # The slices of torchmetrics keep the numbers of AlexNet's layers: slice2.3.bias is features.3.bias.
            parts = {name: state[f"features.{name.split('.', 1)[1]}"] for name in network.net.state_dict()}
            network.net.load_state_dict(parts)
        except (pickle.UnpicklingError, RuntimeError, AttributeError, TypeError, EOFError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{weights} does not hold AlexNet's weights ({reason}). Get {ALEXNET.name} again from {ALEXNET.url}"
            ) from error
        self.network = network.eval().requires_grad_(False).to(device)

    @classmethod
    def found(cls, device: torch.device) -> LPIPS:
        """Take the weights from where model files lie, or download them once.

        Raises:
            FileNotFoundError: When they are neither there nor within reach.
            ValueError: When what is there is something else.
        """
        return cls(find_file(ALEXNET, progress=progress), device)

    def __call__(
        self, rgb: Float[Tensor, "batch 3 height width"], target: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, ""]:
        """Mean distance of images in [0, 1]; sides below 32 px are padded with black."""
        pad = [max(0, 32 - rgb.shape[3]), max(0, 32 - rgb.shape[2])]
        rgb, target = (nn.functional.pad(image, (0, pad[0], 0, pad[1])) for image in (rgb, target))
        return self.network(rgb.clamp(0, 1), target, normalize=True).mean()


class Lpips(RegionMean):
    """LPIPS of the frame and of both boxes, with AlexNet as the ER-NeRF family's tables have it.

    Boxes that are smaller than AlexNet needs are enlarged: what they were padded with would count as equal.
    """

    figures = region_figures("lpips", "LPIPS", "", "lower", "Perceptual distance on AlexNet (Zhang et al. 2018)")

    def __init__(self, context: MetricContext) -> None:
        super().__init__(context)
        self._distance = LPIPS(context.weights(ALEXNET.name), context.device)

    @torch.no_grad()
    def measure(self, rgb: Float[Tensor, "height width 3"], target: Float[Tensor, "height width 3"]) -> Tensor:
        """Compare one box of one frame."""
        images = [image.permute(2, 0, 1)[None] for image in (rgb, target)]
        scale = _SMALLEST_PX / min(rgb.shape[:2])
        if scale > 1:
            size = [max(_SMALLEST_PX, round(scale * side)) for side in rgb.shape[:2]]
            images = [nn.functional.interpolate(image, size, mode="bilinear", antialias=True) for image in images]
        return self._distance(*images)
