"""Metrics of single images: PSNR, SSIM and MS-SSIM, and their means over frames and regions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pytorch_msssim
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from ns_talking.metrics.base import Better, Figure, MeasuredFrame, Measurement, MetricContext, as_tensor

_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW_PX = 11
_NO_LUMINANCE = 1e4


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


def num_scales(height: int, width: int) -> int:
    """Count the scales of MS-SSIM, five at most, at which an image still holds an 11 x 11 window."""
    scales = 0
    while scales < len(_SCALE_WEIGHTS) and min(height, width) >> scales >= _WINDOW_PX:
        scales += 1
    return scales


def ms_ssim(rgb: Float[Tensor, "height width 3"], target: Float[Tensor, "height width 3"]) -> Float[Tensor, ""]:
    """Structural similarity over as many of five scales as the image has room for.

    Source:
        Wang et al., "Multiscale structural similarity for image quality assessment", 2003. Differs from the paper:
        below 176 px the coarsest scales are left out and the weights of the others sum to one.
    """
    weights = np.array(_SCALE_WEIGHTS[: num_scales(rgb.shape[0], rgb.shape[1])])
    weights = weights / weights.sum()
    # A channel is an image of its own here, as in pytorch-msssim, whose own function insists on 160 px.
    images = [image.permute(2, 0, 1)[:, None] for image in (rgb, target)]
    product = torch.ones(3, device=rgb.device)
    for scale, weight in enumerate(weights):
        last = scale == len(weights) - 1
        # With an endless constant the term of luminance is one, and contrast and structure are left.
        constants = (0.01 if last else _NO_LUMINANCE, 0.03)
        found = pytorch_msssim.ssim(*images, data_range=1.0, size_average=False, K=constants)
        product = product * found.clamp(min=0) ** float(weight)
        padding = [side % 2 for side in images[0].shape[2:]]
        images = [functional.avg_pool2d(image, kernel_size=2, padding=padding) for image in images]
    return product.mean()


class RegionMean(ABC):
    """Means over frames of a measure of the whole frame, of the head and of the mouth.

    Head and mouth are cut out as boxes: that around the real head's mask, and the square 1.4 times as wide as the
    lips.
    """

    figures: ClassVar[tuple[Figure, ...]]
    needs_real: ClassVar[bool] = True
    key: ClassVar[str]
    smallest_px: ClassVar[int] = 1
    """Boxes with a shorter side do not count."""

    def __init__(self, context: MetricContext) -> None:
        self.context = context
        self._found: dict[str, list[float]] = {figure.key: [] for figure in self.figures}

    @abstractmethod
    def measure(self, rgb: Float[Tensor, "height width 3"], target: Float[Tensor, "height width 3"]) -> Tensor:
        """Compare one box of one frame."""

    def add(self, frame: MeasuredFrame) -> None:
        """Compare the boxes of one frame."""
        assert frame.real is not None and frame.head is not None and frame.mouth is not None
        rgb, target = (as_tensor(picture.image, self.context.device) for picture in (frame.rendered, frame.real))
        height, width = frame.head.shape
        boxes = ((0, 0, width, height), _around(frame.head), tuple(frame.mouth.tolist()))
        for figure, (x0, y0, x1, y1) in zip(self.figures, boxes, strict=True):
            value = float("nan")
            if min(x1 - x0, y1 - y0) >= self.smallest_px:
                value = float(self.measure(rgb[y0:y1, x0:x1], target[y0:y1, x0:x1]))
            self._found[figure.key].append(value)

    def result(self) -> Measurement:
        """State the means."""
        curves = {key: np.array(values) for key, values in self._found.items()}
        known = {key: curve[np.isfinite(curve)] for key, curve in curves.items()}
        reason = f"No frame shows the region at {self.smallest_px} px or more. Evaluate at a larger size."
        return Measurement(
            values={key: float(curve.mean()) for key, curve in known.items() if len(curve)},
            missing={key: reason for key, curve in known.items() if not len(curve)},
            notes=self.notes(),
            curves=curves,
        )

    def notes(self) -> dict[str, str]:
        """Say what has to stand beside the values."""
        return {}


def region_figures(key: str, label: str, unit: str, better: Better, meaning: str) -> tuple[Figure, ...]:
    """Describe a measure of the whole frame, the head and the mouth."""
    regions = (("", "", "of the whole frame"), ("_head", " head", "of the head"), ("_mouth", " mouth", "of the mouth"))
    return tuple(
        Figure(f"{key}{suffix}", f"{label}{name}", unit, better, f"{meaning}, {where}; mean over frames.")
        for suffix, name, where in regions
    )


class Psnr(RegionMean):
    """PSNR; of the head over its mask rather than its box, as a background that fits would flatter it."""

    figures = region_figures("psnr", "PSNR", "dB", "higher", "Peak signal-to-noise ratio")

    def add(self, frame: MeasuredFrame) -> None:
        """Compare the pixels of one frame."""
        assert frame.real is not None and frame.head is not None and frame.mouth is not None
        error = np.square((frame.rendered.image.astype(np.float32) - frame.real.image) / 255)
        x0, y0, x1, y1 = frame.mouth
        for figure, part in zip(self.figures, (error, error[frame.head], error[y0:y1, x0:x1]), strict=True):
            value = -10 * np.log10(max(float(part.mean(dtype=np.float64)), 1e-10)) if part.size else float("nan")
            self._found[figure.key].append(float(value))

    def measure(self, rgb: Float[Tensor, "height width 3"], target: Float[Tensor, "height width 3"]) -> Tensor:
        """Compare one box of one frame."""
        return psnr(rgb, target)


class Ssim(RegionMean):
    """SSIM of the frame and of both boxes."""

    figures = region_figures("ssim", "SSIM", "", "higher", "Structural similarity (Wang et al. 2004)")
    smallest_px = _WINDOW_PX

    def measure(self, rgb: Float[Tensor, "height width 3"], target: Float[Tensor, "height width 3"]) -> Tensor:
        """Compare one box of one frame."""
        return ssim(rgb, target)


class MsSsim(RegionMean):
    """MS-SSIM of the frame and of both boxes; says so where an image has no room for all five scales."""

    figures = region_figures("ms_ssim", "MS-SSIM", "", "higher", "Multi-scale structural similarity (Wang et al. 2003)")
    smallest_px = 2 * _WINDOW_PX

    def __init__(self, context: MetricContext) -> None:
        super().__init__(context)
        self._scales: dict[str, int] = {}

    def add(self, frame: MeasuredFrame) -> None:
        """Compare the boxes of one frame."""
        assert frame.head is not None and frame.mouth is not None
        x0, y0, x1, y1 = frame.mouth
        head = _around(frame.head)
        sizes = (frame.head.shape, (head[3] - head[1], head[2] - head[0]), (y1 - y0, x1 - x0))
        for figure, (height, width) in zip(self.figures, sizes, strict=True):
            scales = num_scales(int(height), int(width))
            self._scales[figure.key] = min(scales, self._scales.get(figure.key, scales))
        super().add(frame)

    def measure(self, rgb: Float[Tensor, "height width 3"], target: Float[Tensor, "height width 3"]) -> Tensor:
        """Compare one box of one frame."""
        return ms_ssim(rgb, target)

    def notes(self) -> dict[str, str]:
        """Say where scales are missing: such a value cannot be compared with a paper's."""
        return {
            key: f"at {scales} of 5 scales, for want of pixels; not comparable with the full measure"
            for key, scales in self._scales.items()
            if scales < len(_SCALE_WEIGHTS)
        }


def _around(mask: Bool[np.ndarray, "height width"]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
