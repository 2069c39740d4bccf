"""Samples lie in the hull, fine ones where the coarse ones have weight, and weights are what light arrives from."""

from __future__ import annotations

import torch

from ns_talking.rendering.hierarchical import Interval, hull_interval, importance, ray_weights, stratified
from ns_talking.rendering.rays import Rays

BOUNDS = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])


def rays(origins: torch.Tensor, directions: torch.Tensor) -> Rays:
    directions = directions / directions.norm(dim=1, keepdim=True)
    return Rays(origins, directions, origins[:, :2], torch.zeros(len(origins), dtype=torch.long))


def ball(resolution: int = 32, radius: float = 0.5) -> torch.Tensor:
    axis = (torch.arange(resolution) + 0.5) / resolution * 2 - 1
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    return x**2 + y**2 + z**2 < radius**2


def test_the_interval_holds_the_hull_and_little_more() -> None:
    offsets = torch.tensor([0.0, 0.3, 0.8])
    origins = torch.stack([offsets, torch.full((3,), -3.0), torch.zeros(3)], dim=1)
    found = hull_interval(rays(origins, torch.tensor([[0.0, 1.0, 0.0]]).expand(3, 3)), BOUNDS, ball())
    half = (0.25 - offsets[:2] ** 2).sqrt()
    assert found.hit.tolist() == [True, True, False]
    assert bool((found.near[:2] <= 3 - half + 0.04).all() and (found.near[:2] > 3 - half - 0.12).all())
    assert bool((found.far[:2] >= 3 + half - 0.04).all() and (found.far[:2] < 3 + half + 0.12).all())
    assert bool((found.far > found.near).all())


def test_rays_that_miss_the_box_hit_nothing_and_stay_finite() -> None:
    away = rays(torch.tensor([[0.0, -3.0, 0.0]] * 2), torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]))
    found = hull_interval(away, BOUNDS, ball())
    assert not found.hit.any()
    assert bool(torch.isfinite(found.near).all() and torch.isfinite(found.far).all())


def test_fine_samples_gather_where_the_weight_is_and_keep_within_the_interval() -> None:
    interval = Interval(torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([True]))
    t = stratified(interval, 10)
    assert torch.equal(t, t.sort(dim=1).values)
    weights = torch.zeros(1, 10)
    weights[0, 6] = 1
    jitter = torch.rand(1, 64, generator=torch.Generator().manual_seed(0))
    for chance in (None, jitter):
        fine = importance(interval, t, weights, 64, chance)
        assert bool(((fine >= 1) & (fine <= 3)).all())
        assert float(((fine - t[0, 6]).abs() < 0.11).float().mean()) > 0.95
    spread = importance(interval, t, torch.zeros(1, 10), 64)
    torch.testing.assert_close(spread, stratified(interval, 64), atol=1e-4, rtol=0)


def test_weights_and_what_passes_sum_to_one_and_are_beers_law_where_density_is_even() -> None:
    interval = Interval(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 3.0]), torch.tensor([True, True]))
    t = stratified(interval, 50)
    weights = ray_weights(torch.tensor([[0.7], [50.0]]).expand(2, 50), t, interval.far)
    length = 3 - float(t[0, 0])
    torch.testing.assert_close(weights.sum(dim=1)[0], 1 - torch.exp(torch.tensor(-0.7 * length)))
    assert float(weights.sum(dim=1)[1]) <= 1 + 1e-6
    assert bool((weights >= 0).all())
