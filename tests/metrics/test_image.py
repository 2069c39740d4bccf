"""Metrics of images have the values of their definitions."""

from __future__ import annotations

import pytest
import torch

from ns_talking.metrics.image import psnr, ssim


def test_psnr_counts_the_error_of_the_masked_pixels_in_decibels() -> None:
    target = torch.zeros(4, 4, 3)
    rgb = target.clone()
    rgb[0] = 0.1
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[0] = True
    assert float(psnr(rgb, target, mask)) == pytest.approx(20.0, abs=1e-4)
    assert float(psnr(rgb, target)) == pytest.approx(20.0 + 10 * torch.log10(torch.tensor(4.0)).item(), abs=1e-4)


def test_equal_images_are_as_similar_as_can_be_and_noise_lowers_it() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(32, 32, 3, generator=generator)
    noisy = (image + 0.2 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    assert float(ssim(image, image)) == pytest.approx(1.0, abs=1e-5)
    assert float(ssim(image, noisy)) < 0.95
