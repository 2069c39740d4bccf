"""Rendering what is visible gives the picture of rendering everything."""

from __future__ import annotations

import torch

from ns_talking.fields.triplane import TriplaneField, TriplaneFieldConfig
from ns_talking.rendering.layers import over, premultiplied_over
from ns_talking.rendering.occupancy import OccupancyGrid, OccupancyGridConfig
from ns_talking.rendering.rays import Rays
from ns_talking.rendering.volume import render_visible, render_volume, sample_occupied

STEP, SAMPLES = 0.027, 16


def scene() -> tuple[TriplaneField, OccupancyGrid, Rays]:
    torch.manual_seed(0)
    field = TriplaneField(TriplaneFieldConfig(num_levels=4, log2_table_size=8), code_dim=8, appearance_dim=2)
    torch.nn.init.normal_(field.planes)
    for layer in field.density_mlp:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=0.4)
    grid = OccupancyGrid(OccupancyGridConfig(resolution=8), torch.tensor([[-1.0, -0.8, -1.0], [1.0, 0.55, 1.0]]))
    grid.occupied.copy_(torch.rand(8, 8, 8) < 0.7)
    count = 301
    origins = torch.tensor([0.0, -3.3, 0.0]) + 0.1 * torch.randn(count, 3)
    directions = torch.nn.functional.normalize(0.4 * torch.randn(count, 3) - origins, dim=1)
    return field, grid, Rays(origins, directions, torch.zeros(count, 2), torch.arange(count) % 3)


def test_front_to_back_rendering_equals_compositing_all_samples() -> None:
    field, grid, rays = scene()
    code, blink, appearance = torch.randn(3, 8), torch.rand(3), torch.randn(3, 2)
    samples = sample_occupied(rays, grid, STEP, SAMPLES)
    everything, _ = render_volume(field, rays, samples, STEP, code, blink, appearance)
    visible = render_visible(field, rays, grid, STEP, SAMPLES, code, blink, appearance)
    assert float(visible.accumulation.max()) > 0.9
    for name in ("rgb", "accumulation", "depth"):
        torch.testing.assert_close(getattr(visible, name), getattr(everything, name), atol=1e-5, rtol=1e-4)


def test_rays_that_miss_the_head_are_clear() -> None:
    field, grid, rays = scene()
    away = Rays(rays.origins, -rays.directions, rays.pixels, rays.row)
    code, blink, appearance = torch.randn(3, 8), torch.rand(3), torch.randn(3, 2)
    head = render_visible(field, away, grid, STEP, SAMPLES, code, blink, appearance)
    assert float(head.accumulation.abs().max()) == 0
    assert float(head.rgb.abs().max()) == 0


def test_layers_cover_what_is_behind_by_their_opacity() -> None:
    front, behind = torch.rand(5, 3), torch.rand(5, 3)
    ones, zeros, half = torch.ones(5, 1), torch.zeros(5, 1), torch.full((5, 1), 0.5)
    torch.testing.assert_close(over(front, ones, behind), front)
    torch.testing.assert_close(over(front, zeros, behind), behind)
    torch.testing.assert_close(over(front, half, behind), premultiplied_over(front * half, half, behind))
