"""A torso folded under the condition of a picture shows the picture of the torso itself."""

from __future__ import annotations

import pytest
import torch
from host_waits import copies_of, waits_of
from torch import Tensor

from ns_talking.fields.euler_torso import EulerTorsoFieldConfig
from ns_talking.fields.folded_canvas import fold_canvas
from ns_talking.fields.posed_canvas import PosedCanvas, PosedCanvasConfig
from ns_talking.fields.torso import TorsoFieldConfig
from ns_talking.kernels.render_canvas import render_canvas

KINDS = [TorsoFieldConfig, EulerTorsoFieldConfig]
POSE = torch.tensor([[[0.995, -0.0998, 0.0, 0.1], [0.0, 0.0, -1.0, -3.3], [0.0998, 0.995, 0.0, 0.05]]])
FRAME = torch.tensor([3])


def colourful(kind: type[PosedCanvasConfig], **options: int) -> PosedCanvas:
    torch.manual_seed(0)
    torso = kind(**options).setup()
    torch.nn.init.uniform_(torso.table, -0.5, 0.5)
    for mlp in (torso.deformation_mlp, torso.torso_mlp):
        for layer in mlp:
            if isinstance(layer, torch.nn.Linear):
                torch.nn.init.normal_(layer.weight, std=2 * layer.in_features**-0.5)
    with torch.no_grad():
        torso.deformation_mlp[-1].weight *= 0.05
    return torso.eval()


def picture(size: int) -> Tensor:
    axis = torch.linspace(-1, 1, size)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)


@pytest.mark.parametrize("appearance_dim", [0, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_the_folded_torso_shows_the_picture_of_the_torso(kind: type[PosedCanvasConfig], appearance_dim: int) -> None:
    torso, pixels = colourful(kind, appearance_dim=appearance_dim), picture(24)
    with torch.no_grad():
        rgb, alpha = torso(pixels, POSE, FRAME, torch.zeros(len(pixels), dtype=torch.long))
    expected = torch.cat([rgb, alpha], dim=1).clamp(0, 1)
    actual = render_canvas.reference(pixels, torch.ones(len(pixels)) > 0, fold_canvas(torso, POSE, FRAME))
    assert float(expected.std(dim=0).min()) > 0.03
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_graph_records_of_it_neither_waits_nor_copies_from_the_host(kind: type[PosedCanvasConfig]) -> None:
    torso, pixels = colourful(kind), picture(4)

    def prepare() -> None:
        with torch.no_grad():
            fold_canvas(torso, POSE, FRAME)
            torso.occupied(pixels)

    assert waits_of(prepare) == {} and copies_of(prepare) == 0
    assert copies_of(lambda: torch.ones(2) * torch.tensor([1.0, 2.0])) == 1
