"""What tiny-cuda-nn computes from our parameters is what our definitions compute; of a stand-in where it is missing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from kernels import tinycudann_double
from kernels.cases import ER_NERF_PLANE, RAD_NERF_PLANE, EncodingCase, seeded
from torch import Tensor, nn

from ns_talking.fields.base import FieldCondition
from ns_talking.fields.triplane import TriplaneField, TriplaneFieldConfig
from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.hash_encoding import hash_encoding
from ns_talking.kernels.mlp import mlp
from ns_talking.kernels.tcnn import hash_encoding as tcnn_grid
from ns_talking.kernels.tcnn import library
from ns_talking.kernels.tcnn import mlp as tcnn_mlp
from ns_talking.kernels.triplane_encoding import triplane_encoding
from ns_talking.modules.mlp import choose_implementation

GRIDS = [
    ER_NERF_PLANE,
    GridGeometry(3, 6, 2, 5, 61, 9),
    GridGeometry(2, 3, 8, 4, 40, 7),
    GridGeometry(3, 4, 4, 16, 512, 19),
    # Here a level has one corner per axis too many for the table, there not.
    GridGeometry(2, 1, 1, 8, 8, 6),
    GridGeometry(2, 1, 2, 2, 2, 3),
    GridGeometry(2, 2, 1, 5, 9, 12, "tiled"),
]
GRID_TOLERANCE = 1e-3
"""The library rounds the scales of levels, and with them the places of points, to less than a thousandth of a cell."""
LIBRARIES = ["stand-in", pytest.param("tinycudann", marks=pytest.mark.gpu)]


@pytest.fixture(params=LIBRARIES)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the library computes: the real one on a GPU, its stand-in on the CPU."""
    if request.param == "tinycudann":
        pytest.importorskip("tinycudann", exc_type=(ImportError, OSError))
    else:
        monkeypatch.setitem(sys.modules, "tinycudann", tinycudann_double)
        monkeypatch.setattr(library, "DEVICE", "cpu")
    yield "cuda" if request.param == "tinycudann" else "cpu"
    for module in (tcnn_grid, tcnn_mlp):
        module._module.cache_clear()


def inside(geometry: GridGeometry, dimensions: int, count: int = 700) -> Tensor:
    """Points up to the strip in which the library has no corners; a few outside of the box, or not a number."""
    points = EncodingCase(geometry, count).points(dimensions)
    return torch.where((points >= 0) & (points <= 1), points * min(tcnn_grid.far_borders(geometry)), points)


def grads(function: Callable[..., Tensor], device: str, *inputs: Tensor) -> list[Tensor]:
    """Result, and gradients of a random projection of it."""
    leaves = [value.to(device).requires_grad_() for value in (value.detach().clone() for value in inputs)]
    output = function(*leaves)
    (output.float() * torch.randn(output.shape, generator=seeded(5)).to(device)).sum().backward()
    return [output.detach().cpu(), *(leaf.grad.cpu() for leaf in leaves if leaf.grad is not None)]


def assert_close(expected: list[Tensor], actual: list[Tensor], tolerance: float) -> None:
    for wanted, found in zip(expected, actual, strict=True):
        assert wanted.shape == found.shape
        torch.testing.assert_close(found.float(), wanted, atol=tolerance * float(wanted.abs().max()) + 1e-9, rtol=0)


@pytest.mark.parametrize("geometry", GRIDS, ids=str)
def test_a_grid_is_that_of_the_definition_but_at_the_far_border(geometry: GridGeometry, device: str) -> None:
    points, table = inside(geometry, geometry.dimensions), EncodingCase(geometry, 0).tables(1)[0]
    expected = grads(lambda p, t: hash_encoding.reference(p, t, geometry), "cpu", points, table)
    actual = grads(lambda p, t: hash_encoding.by("tcnn")(p, t, geometry), device, points, table)
    assert_close(expected[:1] + expected[2:], actual[:1] + actual[2:], GRID_TOLERANCE)
    # The slope jumps from cell to cell, and in which cell a point on their border lies is a matter of the last digit.
    far = (expected[1] - actual[1]).abs() > 1e-3 * expected[1].abs().max()
    assert float(far.float().mean()) < 0.01


def test_at_the_far_border_levels_that_store_every_corner_may_differ(device: str) -> None:
    points = torch.rand(50, 2, generator=seeded(3)) * 4e-3 + 0.996
    table = EncodingCase(ER_NERF_PLANE, 0).tables(1)[0]
    expected = hash_encoding.reference(points, table, ER_NERF_PLANE)
    actual = hash_encoding.by("tcnn")(points.to(device), table.to(device), ER_NERF_PLANE).cpu()
    agree = ((expected - actual).abs() < GRID_TOLERANCE).all(dim=0)
    assert agree.tolist() == [border == 1 for border in tcnn_grid.far_borders(ER_NERF_PLANE)]
    assert int(agree.sum()) == 10


def test_planes_are_those_of_the_definition(device: str) -> None:
    points, tables = inside(ER_NERF_PLANE, 3), EncodingCase(ER_NERF_PLANE, 0).tables(3)
    expected = grads(lambda t: triplane_encoding.reference(points, t, ER_NERF_PLANE), "cpu", tables)
    actual = grads(lambda t: triplane_encoding.by("tcnn")(points.to(device), t, ER_NERF_PLANE), device, tables)
    assert_close(expected, actual, GRID_TOLERANCE)


@pytest.mark.parametrize("sizes", [(36, 64, 32), (69, 64, 64, 65), (16, 16, 1), (3, 128, 128, 128, 16)], ids=str)
def test_a_network_is_that_of_the_definition(sizes: tuple[int, ...], device: str) -> None:
    weights = [
        torch.randn(rows, columns, generator=seeded(at)) * columns**-0.5
        for at, (columns, rows) in enumerate(zip(sizes[:-1], sizes[1:], strict=True))
    ]
    inputs = torch.randn(300, sizes[0], generator=seeded(7))
    assert tcnn_mlp.fits(weights)
    expected = grads(lambda x, *w: mlp.reference(x, w), "cpu", inputs, *weights)
    actual = grads(lambda x, *w: mlp.by("tcnn")(x, w), device, inputs, *weights)
    assert actual[0].dtype == torch.float32
    assert_close(expected[:1], actual[:1], 1.5e-3)
    # For a few samples ReLU opens or closes with the last digit of half precision.
    for wanted, found in zip(expected[1:], actual[1:], strict=True):
        assert float((found - wanted).norm() / wanted.norm()) < 4e-2


@pytest.mark.parametrize("sizes", [(5, 3), (9, 64, 32, 4), (9, 20, 4)], ids=str)
def test_networks_without_a_kernel_are_left_to_the_definition(sizes: tuple[int, ...], device: str) -> None:
    weights = [torch.ones(rows, columns) for columns, rows in zip(sizes[:-1], sizes[1:], strict=True)]
    assert not tcnn_mlp.fits(weights)
    inputs = torch.ones(4, sizes[0])
    actual = mlp.by("tcnn")(inputs.to(device), [weight.to(device) for weight in weights]).cpu()
    torch.testing.assert_close(actual, mlp.reference(inputs, weights))


def test_nothing_is_encoded_into_nothing(device: str) -> None:
    table = EncodingCase(ER_NERF_PLANE, 0).tables(1)[0].to(device)
    assert hash_encoding.by("tcnn")(torch.zeros(0, 2, device=device), table, ER_NERF_PLANE).shape == (0, 12)
    assert mlp.by("tcnn")(torch.zeros(0, 4, device=device), [torch.ones(16, 4), torch.ones(2, 16)]).shape == (0, 2)


def test_grids_that_the_library_has_not_are_encoded_by_our_kernels_and_it_says_so(
    device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tcnn_grid._tell_once.cache_clear()
    table, points = EncodingCase(RAD_NERF_PLANE, 0).tables(1)[0], EncodingCase(RAD_NERF_PLANE, 50).points()
    for _ in range(2):
        actual = hash_encoding.by("tcnn")(points.to(device), table.to(device), RAD_NERF_PLANE).cpu()
    torch.testing.assert_close(actual, hash_encoding.reference(points, table, RAD_NERF_PLANE))
    assert " ".join(capsys.readouterr().out.split()).count("does not know a tiled grid whose corners share") == 1


def test_a_head_has_the_same_parameters_and_the_same_picture(device: str) -> None:
    torch.manual_seed(0)
    field = TriplaneField(TriplaneFieldConfig(), code_dim=32, appearance_dim=4)
    nn.init.uniform_(field.planes, -0.5, 0.5)
    names = list(field.state_dict())
    condition = FieldCondition(torch.randn(1, 32), torch.rand(1), torch.zeros(200, dtype=torch.long))
    where = torch.rand(200, 3) * 1.6 - 0.8

    def seen() -> list[Tensor]:
        on = next(field.parameters()).device
        moved = FieldCondition(*(part.to(on) for part in (condition.audio_code, condition.blink, condition.frame_row)))
        at = field.density(where.to(on), moved)
        harmonics = torch.full((200, 16), 0.3, device=on)
        appearance, ray = torch.zeros(200, 4, device=on), torch.arange(200, device=on)
        rgb = field.colour(at.geometry, harmonics, appearance, ray)
        return [value.detach().cpu() for value in (at.density.log(), rgb, at.audio_attention, at.eye_attention)]

    expected = seen()
    choose_implementation(field, "tcnn")
    field.to(device)
    for wanted, found in zip(expected, seen(), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-2 * max(1.0, float(wanted.abs().max())), rtol=0)
    assert list(field.state_dict()) == names and field.audio_attention.mlp.implementation == "tcnn"


def test_another_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="lays out this grid as 3 parameters where version 1.7 has 5, .*`torch`"):
        library.make(lambda: nn.Linear(3, 1, bias=False), 5, torch.device("cpu"), "this grid")


def test_tensors_on_the_cpu_are_refused() -> None:
    for call in (
        lambda: mlp.by("tcnn")(torch.ones(1, 2), [torch.ones(1, 2)]),
        lambda: hash_encoding.by("tcnn")(torch.zeros(1, 2), torch.zeros(ER_NERF_PLANE.num_entries, 1), ER_NERF_PLANE),
    ):
        with pytest.raises(ValueError, match="on cuda alone, found a tensor on cpu.*at `torch`"):
            call()


@pytest.mark.parametrize("error", [ImportError("No module named 'tinycudann'"), OSError("Unknown compute capability")])
def test_without_the_package_it_is_said_what_to_install(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(ImportError, match=r"--pipeline.model.implementation tcnn.*pip install ninja 'git\+https"):
        choose_implementation(nn.Linear(1, 1), "tcnn")
