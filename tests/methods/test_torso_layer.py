"""The torso of a picture is the same, whichever way it is drawn."""

from __future__ import annotations

import pytest
import torch

from ns_talking.fields import folded_canvas
from ns_talking.fields.torso import TorsoField, TorsoFieldConfig
from ns_talking.methods.torso_layer import TorsoLayer
from ns_talking.rendering.rays import Rays

POSE = torch.tensor([[[1.0, 0.0, 0.0, 0.1], [0.0, 0.0, -1.0, -3.3], [0.0, 1.0, 0.0, 0.0]]])


def picture(size: int) -> Rays:
    axis = torch.linspace(-1, 1, size)
    pixels = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)
    nothing = torch.zeros(len(pixels), 3)
    return Rays(nothing, nothing, pixels, torch.zeros(len(pixels), dtype=torch.long), size)


def test_the_fused_picture_is_the_unfused_one_and_follows_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    torso = TorsoField(TorsoFieldConfig(appearance_dim=0, finest_resolution=64)).eval()
    torch.nn.init.normal_(torso.table)
    torso.occupancy[64:] = 1.0
    rays, frame, layer = picture(20), torch.zeros(1, dtype=torch.long), TorsoLayer(torso)
    asked = []

    def fused(*_: object) -> bool:
        asked.append(True)
        return True

    for _ in range(2):
        expected = layer(rays, POSE, frame)
        with monkeypatch.context() as patch:
            patch.setattr("ns_talking.methods.torso_layer.draws_fused", fused)
            actual = layer(rays, POSE, frame)
        for wanted, found in zip(expected, actual, strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
        assert bool((expected[1][:180] == 0).all()) and float(expected[1][220:].min()) > 0
        torch.nn.init.normal_(torso.table)
    assert len(asked) == 2


def test_the_kernel_is_asked_where_it_can_run_and_has_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    torso, pixels = TorsoField(TorsoFieldConfig(finest_resolution=32)), torch.zeros(1, 2)
    assert not folded_canvas.draws_fused(torso, pixels)
    monkeypatch.setattr(type(folded_canvas.render_canvas), "has_twin_for", lambda *_: True)
    assert folded_canvas.draws_fused(torso, pixels)
