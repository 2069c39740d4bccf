"""Metrics of images have the values of their definitions."""

from __future__ import annotations

import pytest
import pytorch_msssim
import torch

from ns_talking.metrics.image import ms_ssim, num_scales, psnr, ssim


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


def test_ms_ssim_with_all_scales_is_that_of_the_library() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(6, 6, 3, generator=generator).repeat_interleave(30, 0).repeat_interleave(31, 1)
    noisy = (image + 0.1 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    pair = [one.permute(2, 0, 1)[None] for one in (image, noisy)]
    assert float(ms_ssim(image, noisy)) == pytest.approx(float(pytorch_msssim.ms_ssim(*pair, data_range=1.0)), abs=1e-4)


@pytest.mark.parametrize(("side", "scales"), [(10, 0), (11, 1), (22, 2), (128, 4), (175, 4), (176, 5), (512, 5)])
def test_ms_ssim_takes_as_many_scales_as_fit(side: int, scales: int) -> None:
    assert num_scales(side, 1000) == scales
    if scales:
        image = torch.rand(side, side, 3, generator=torch.Generator().manual_seed(0))
        assert float(ms_ssim(image, image)) == pytest.approx(1, abs=1e-5)
