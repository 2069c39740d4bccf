"""Laws of the grid and tri-plane encodings."""

import math
from collections.abc import Iterator

import pytest
import torch
from kernels.cases import (
    BACKENDS,
    ENCODING_CASES,
    ER_NERF_PLANE,
    RAD_NERF_PLANE,
    RAD_NERF_SPACE,
    TINY_HASH,
    TWINS,
    EncodingCase,
    implementation,
    seeded,
    value_and_grads,
)
from torch import Tensor

from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.hash_encoding import hash_encoding
from ns_talking.kernels.triplane_encoding import triplane_encoding

PLANE_CASES = [case for case in ENCODING_CASES if case.geometry.dimensions == 2]


def test_published_grids_have_the_published_sizes() -> None:
    """Sizes of ER-NeRF's and RAD-NeRF's released checkpoints."""
    assert ER_NERF_PLANE.resolutions == (64, 78, 94, 113, 137, 165, 199, 241, 291, 351, 424, 512)
    assert ER_NERF_PLANE.num_entries == 163_584
    assert ER_NERF_PLANE.hashed == (False,) * 4 + (True,) * 8
    assert RAD_NERF_SPACE.num_entries == 903_480
    assert RAD_NERF_PLANE.num_entries == 555_520


@pytest.mark.parametrize("case", ENCODING_CASES, ids=str)
def test_a_mask_is_the_modulo_of_every_shared_level(case: EncodingCase) -> None:
    geometry = case.geometry
    for mask, entries, side in zip(geometry.masks, geometry.level_entries, geometry.resolutions, strict=True):
        corners = (side + 1) ** geometry.dimensions
        assert mask == -1 if corners <= entries else entries & mask == 0 and mask == entries - 1


@pytest.mark.parametrize("sizes", [(2, 0, 1, 4, 8, 5), (2, 1, 1, 9, 8, 5), (2, 1, 1, 1, 8, 5), (2, 1, 1, 4, 8, 2)])
def test_impossible_geometry_is_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="found"):
        GridGeometry(*sizes)


@pytest.mark.parametrize("case", ENCODING_CASES, ids=str)
@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_of_the_hash_encoding_equals_its_definition(case: EncodingCase, twin: str) -> None:
    def run(backend: str) -> list[Tensor | None]:
        function = implementation(hash_encoding, backend)
        return value_and_grads(lambda p, t: function(p, t, case.geometry), case.points(), case.tables(1)[0])

    assert_equal(run("reference"), run(twin))


@pytest.mark.parametrize("case", PLANE_CASES, ids=str)
@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_of_the_triplane_encoding_equals_its_definition(case: EncodingCase, twin: str) -> None:
    def run(backend: str) -> list[Tensor | None]:
        function = implementation(triplane_encoding, backend)
        return value_and_grads(lambda p, t: function(p, t, case.geometry), case.points(3), case.tables(3))

    assert_equal(run("reference"), run(twin))


@pytest.mark.parametrize("backend", BACKENDS)
def test_encoding_takes_inputs_that_are_not_contiguous(backend: str) -> None:
    case = EncodingCase(TINY_HASH, 40)
    points = torch.rand(3, 80, generator=seeded(0)).t()[::2]
    tables = case.tables(3)
    strided = torch.stack([tables, tables], dim=-1)[..., 0]
    function = implementation(triplane_encoding, backend)
    assert not points.is_contiguous() and not strided.is_contiguous()
    torch.testing.assert_close(
        function(points, strided, case.geometry), function(points.contiguous(), tables, case.geometry)
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_constant_table_encodes_every_point_inside_as_that_constant(backend: str, dimensions: int) -> None:
    geometry = GridGeometry(dimensions, 6, 2, 4, 90, 8)
    points = torch.rand(500, dimensions, generator=seeded(0))
    features = implementation(hash_encoding, backend)(points, torch.full((geometry.num_entries, 2), 0.7), geometry)
    torch.testing.assert_close(features, torch.full((500, 12), 0.7))


@pytest.mark.parametrize("backend", BACKENDS)
def test_points_outside_the_grid_have_no_feature_and_give_no_gradient(backend: str) -> None:
    points = torch.tensor([[1.001, 0.5], [0.5, -1e-6], [math.nan, 0.5], [math.inf, 0.2]])
    table = torch.ones(TINY_HASH.num_entries, 1)
    features, _, grad = value_and_grads(
        lambda p, t: implementation(hash_encoding, backend)(p, t, TINY_HASH), points, table
    )
    assert features is not None and grad is not None
    assert not features.any() and not grad.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dense_level_holds_a_linear_function_exactly(backend: str) -> None:
    geometry = GridGeometry(3, 1, 1, 9, 9, 12)
    corner = torch.stack(torch.meshgrid(*[torch.arange(10.0)] * 3, indexing="ij"), dim=-1).permute(2, 1, 0, 3)
    slope = torch.tensor([1.0, -2.0, 0.5])
    table = torch.zeros(geometry.num_entries, 1)
    table[:1000, 0] = (((corner - 0.5) / geometry.scales[0]) @ slope).flatten()
    points = torch.rand(100, 3, generator=seeded(0))
    features = implementation(hash_encoding, backend)(points, table, geometry)
    torch.testing.assert_close(features[:, 0], points @ slope, atol=1e-5, rtol=0)


@pytest.mark.parametrize("geometry", [GridGeometry(2, 3, 2, 3, 9, 5), GridGeometry(3, 2, 1, 3, 6, 6, "tiled")], ids=str)
def test_gradients_of_the_definition_are_exact(geometry: GridGeometry) -> None:
    points = torch.rand(400, geometry.dimensions, generator=seeded(0), dtype=torch.float64)
    position = points[:, None] * torch.tensor(geometry.scales, dtype=torch.float64)[:, None] + 0.5
    away = ((position - position.round()).abs() > 1e-2).flatten(1).all(dim=1)
    points = points[away][:10].requires_grad_()
    table = torch.rand(geometry.num_entries, geometry.features_per_level, generator=seeded(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p, t: hash_encoding(p, t, geometry), (points, table.requires_grad_()))


def test_gradients_of_the_triplane_definition_are_exact() -> None:
    geometry = GridGeometry(2, 1, 1, 3, 3, 5)
    points = torch.tensor([[0.1, 0.4, 0.8], [0.6, 0.35, 0.9]], dtype=torch.float64, requires_grad=True)
    tables = torch.rand(3, geometry.num_entries, 1, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p, t: triplane_encoding(p, t, geometry), (points, tables))


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("twin", TWINS)
def test_gradients_do_not_depend_on_the_order_of_the_points(twin: str, deterministic: None) -> None:
    """Numba keeps an order of its own; Triton, asked to be deterministic, adds integers."""
    case = EncodingCase(TINY_HASH, 5000)
    points, tables = case.points(3), case.tables(3)
    order = torch.randperm(case.num_points, generator=seeded(2)) if twin == "triton" else torch.arange(case.num_points)
    grad = torch.randn(case.num_points, 3 * case.geometry.output_dim, generator=seeded(3))
    runs = []
    for rows in (slice(None), order):
        leaf = tables.clone().requires_grad_()
        implementation(triplane_encoding, twin)(points[rows], leaf, case.geometry).backward(grad[rows])
        runs.append(leaf.grad)
    assert torch.equal(*runs)


@pytest.mark.parametrize("scale", [0.0, 1e-28, 1.0, 1e30])
def test_deterministic_gradients_keep_their_digits_at_every_scale(scale: float, deterministic: None) -> None:
    pytest.importorskip("triton")
    case = EncodingCase(TINY_HASH, 257)

    def gradient(backend: str) -> Tensor:
        table = case.tables(1)[0].requires_grad_()
        features = implementation(hash_encoding, backend)(case.points(), table, case.geometry)
        features.backward(scale * torch.randn(features.shape, generator=seeded(3)))
        assert table.grad is not None
        return table.grad

    torch.testing.assert_close(gradient("triton"), gradient("reference"), rtol=1e-5, atol=1e-6 * scale)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_deterministic_gradients_show_what_overflowed(deterministic: None) -> None:
    pytest.importorskip("triton")
    case = EncodingCase(TINY_HASH, 5)
    table = case.tables(1)[0].requires_grad_()
    features = implementation(hash_encoding, "triton")(case.points(), table, case.geometry)
    features.backward(torch.full_like(features, math.inf))
    assert table.grad is not None and not table.grad.isfinite().any()


def test_triton_hands_half_precision_to_half_precision_networks() -> None:
    pytest.importorskip("triton")
    case = EncodingCase(TINY_HASH, 257)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    points, table = case.points().to(device), case.tables(1)[0].to(device).requires_grad_()
    wanted = hash_encoding.reference(points, table, case.geometry)
    with torch.autocast(device, dtype=torch.float16):
        features = hash_encoding.triton(points, table, case.geometry)
    assert features.dtype == torch.float16
    torch.testing.assert_close(features, wanted.half(), atol=1e-3, rtol=0)
    features.sum().backward()
    assert table.grad is not None and table.grad.dtype == torch.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_table_of_another_geometry_is_refused(backend: str) -> None:
    with pytest.raises(ValueError, match="another geometry"):
        implementation(hash_encoding, backend)(torch.rand(1, 2), torch.zeros(8, 1), TINY_HASH)
    with pytest.raises(ValueError, match="another geometry"):
        implementation(triplane_encoding, backend)(torch.rand(1, 3), torch.zeros(3, 8, 1), TINY_HASH)


def assert_equal(expected: list[Tensor | None], actual: list[Tensor | None]) -> None:
    for wanted, found in zip(expected, actual, strict=True):
        assert wanted is not None and found is not None
        scale = wanted.abs().max().item() if wanted.numel() else 0.0
        torch.testing.assert_close(found, wanted, atol=1e-4 * scale + 1e-12, rtol=0)
