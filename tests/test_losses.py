"""Losses of their own laws; those of a method are tested with it."""

from __future__ import annotations

import torch

from ns_talking import losses


def test_distortion_is_the_sum_over_all_pairs_of_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(5, 7, generator=generator, dtype=torch.float64)
    t = torch.rand(5, 7, generator=generator, dtype=torch.float64).sort(dim=1).values
    pairs = weights[:, :, None] * weights[:, None, :] * (t[:, :, None] - t[:, None, :]).abs()
    expected = pairs.sum(dim=(1, 2)) + 0.1 / 3 * weights.square().sum(dim=1)
    torch.testing.assert_close(
        losses.distortion(weights.float(), t.float(), 0.1).double(), expected, rtol=1e-4, atol=1e-5
    )


def test_distortion_prefers_one_thin_surface() -> None:
    t = torch.arange(8.0)[None]
    thin = torch.tensor([[0.0, 0, 1, 0, 0, 0, 0, 0]])
    veil = torch.full((1, 8), 1 / 8)
    assert float(losses.distortion(thin, t, 1.0)) < float(losses.distortion(veil, t, 1.0)) / 4
