"""Losses of their own laws; those of a method are tested with it."""

from __future__ import annotations

from typing import get_args

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


def test_colour_losses_are_least_where_colours_agree_and_charbonnier_lies_below_both() -> None:
    target = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    for kind in ("squared", "absolute", "charbonnier"):
        assert float(losses.colour_error(target, target, kind).abs().max()) == 0
    far = target + 0.5
    squared, absolute, charbonnier = (losses.colour_error(far, target, kind) for kind in get_args(losses.ColourLoss))
    torch.testing.assert_close(squared, torch.full((20,), 0.25))
    torch.testing.assert_close(absolute, torch.full((20,), 0.5))
    assert bool((charbonnier < absolute).all()) and bool((charbonnier > 0.95 * absolute).all())
    near = losses.colour_error(target + 1e-3, target, "charbonnier")
    torch.testing.assert_close(near, torch.full((20,), 1e-6 / 0.02), rtol=1e-2, atol=0)  # d^2 / 2c


def test_the_length_of_offsets_is_their_mean_and_nothing_where_no_point_was_asked() -> None:
    offsets = torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])
    torch.testing.assert_close(losses.mean_length(offsets), torch.tensor(3.0))
    assert float(losses.mean_length(offsets[:0])) == 0


def test_masks_are_judged_only_where_their_field_is_opaque() -> None:
    lower = torch.tensor([True, False])
    opacity = torch.tensor([[[0.5, 0.2]], [[0.0, 1.0]]])
    right = torch.tensor([[[0.5, 0.0]], [[0.0, 1.0]]])
    assert float(losses.region_masks(right, opacity, lower)) == 0
    swapped = opacity - right
    torch.testing.assert_close(losses.region_masks(swapped, opacity, lower), torch.tensor((0.5**2 + 0.2**2 + 1) / 2))


def test_a_ray_through_the_eyes_lacks_what_its_samples_do_not_attend_to_the_blink() -> None:
    eye = torch.tensor([0.0, 0.25, 1.5, 0.0], requires_grad=True)
    missing = losses.missing_at_eyes(eye, torch.tensor([True, True, True, False]))
    torch.testing.assert_close(missing, torch.tensor((1 + 0.75) / 4))
    missing.backward()
    # What attends enough, and what shows no eyes, is left alone.
    torch.testing.assert_close(eye.grad, torch.tensor([-0.25, -0.25, 0.0, 0.0]))
