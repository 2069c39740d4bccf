"""A tri-plane field folded under the condition of a picture shows the picture of the field itself."""

from __future__ import annotations

import pytest
import torch
from kernels.cases import BOUNDS, STEP, head_occupancy, portrait_rays

from ns_talking.fields.folded_triplane import fold
from ns_talking.fields.triplane import TriplaneField, TriplaneFieldConfig
from ns_talking.rendering.occupancy import OccupancyGrid, OccupancyGridConfig
from ns_talking.rendering.rays import Rays
from ns_talking.rendering.volume import render_folded, render_visible


@pytest.mark.parametrize("appearance_dim", [0, 4])
def test_the_folded_field_shows_the_picture_of_the_field(appearance_dim: int) -> None:
    torch.manual_seed(0)
    field = TriplaneField(TriplaneFieldConfig(), code_dim=32, appearance_dim=appearance_dim)
    torch.nn.init.uniform_(field.planes, -0.5, 0.5)
    for layer in field.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=2 * layer.in_features**-0.5)
    with torch.no_grad():
        field.density_mlp[-1].weight[0].abs_()
    grid = OccupancyGrid(OccupancyGridConfig(resolution=24), BOUNDS)
    grid.occupied.copy_(head_occupancy((24, 24, 24)))
    origins, directions = portrait_rays(24)
    rays = Rays(origins, directions, torch.zeros(len(origins), 2), torch.zeros(len(origins), dtype=torch.long), 24)
    code, blink, appearance = torch.randn(1, 32), torch.rand(1), torch.randn(1, appearance_dim)
    expected = render_visible(field, rays, grid, STEP, 16, code, blink, appearance)
    actual = render_folded(fold(field, code, blink, appearance), rays, grid, STEP, 16)
    assert float(expected.accumulation.max()) > 0.999
    for name in ("rgb", "accumulation", "depth", "audio_attention", "eye_attention"):
        wanted = getattr(expected, name)
        torch.testing.assert_close(getattr(actual, name), wanted, atol=2e-4 * float(wanted.max()), rtol=0)
