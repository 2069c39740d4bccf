"""Laws of the fused renderer."""

from dataclasses import replace

import pytest
import torch
from kernels.cases import BOUNDS, STEP, TRITON, folded_er_nerf, head_occupancy, implementation, portrait_rays, seeded
from torch import Tensor

from ns_talking.kernels.front_to_back import RayTotals
from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.render_triplane import FoldedTriplane, render_triplane

TINY_PLANE = GridGeometry(2, 3, 2, 4, 40, 7)


def thin_field() -> FoldedTriplane:
    """Every width another one, and none a power of two."""
    generator = seeded(8)

    def matrix(*size: int) -> Tensor:
        return 2 * torch.randn(size, generator=generator) * size[-1] ** -0.5

    return FoldedTriplane(
        tables=torch.rand(3, TINY_PLANE.num_entries, 2, generator=generator) * 2 - 1,
        geometry=TINY_PLANE,
        attention=matrix(20, 18),
        strength=matrix(5, 20),
        eye=matrix(7, 18),
        eye_out=matrix(7),
        density=matrix(33, 18),
        density_of_attention=matrix(33, 20),
        density_of_eye=matrix(33),
        hidden=matrix(17, 33),
        log_density=matrix(17),
        max_log_density=3.0,
        colour=matrix(40, 17),
        direction=matrix(40, 16),
        colour_out=matrix(3, 40),
        colour_margin=0.0,
    )


def render(
    backend: str, field: FoldedTriplane, rays: tuple[Tensor, Tensor], occupancy: Tensor, *more: int
) -> RayTotals:
    max_samples, width = more or (16, 0)
    return implementation(render_triplane, backend)(*rays, BOUNDS, occupancy, field, STEP, max_samples, width)


def assert_same_picture(expected: RayTotals, actual: RayTotals) -> None:
    """At most two levels of 255 and 50 dB apart, the tolerance of half precision."""
    for wanted, found in (
        (expected.values[:, :3], actual.values[:, :3]),
        (expected.transmittance[:, None], actual.transmittance[:, None]),
    ):
        assert wanted.shape == found.shape and found.isfinite().all()
        if wanted.numel():
            assert float((wanted - found).abs().max()) <= 2 / 255
            assert float((wanted - found).square().mean()) <= 1e-5
    for wanted, found in ((expected.values[:, 3:], actual.values[:, 3:]), (expected.depth, actual.depth)):
        scale = float(wanted.abs().max()) if wanted.numel() else 0.0
        torch.testing.assert_close(found, wanted, atol=1e-2 * scale + 1e-6, rtol=0)


@pytest.mark.parametrize("twin", [TRITON])
def test_a_picture_is_that_of_the_definition_whatever_its_tiles(twin: str) -> None:
    field, rays = folded_er_nerf(), portrait_rays(32)
    rays = (rays[0][256:768], rays[1][256:768])
    occupancy = head_occupancy((32, 32, 32))
    expected = render("reference", field, rays, occupancy)
    assert float(expected.values[:, :3].std()) > 0.1 and float(expected.transmittance.min()) < 1e-4
    tiled, in_rows = (render(twin, field, rays, occupancy, 16, width) for width in (32, 0))
    assert_same_picture(expected, tiled)
    torch.testing.assert_close(tiled.values, in_rows.values, atol=1e-4, rtol=0)


@pytest.mark.parametrize("twin", [TRITON])
@pytest.mark.parametrize(("num_rays", "max_samples"), [(77, 3), (1, 1), (0, 16)])
def test_a_field_of_odd_sizes_is_that_of_the_definition(num_rays: int, max_samples: int, twin: str) -> None:
    every = portrait_rays(20)
    rays = (every[0][180 : 180 + num_rays], every[1][180 : 180 + num_rays])
    occupancy = torch.rand(9, 8, 7, generator=seeded(3)) < 0.6
    expected, actual = (
        render(backend, thin_field(), rays, occupancy, max_samples, 0) for backend in ("reference", twin)
    )
    assert_same_picture(expected, actual)


@pytest.mark.parametrize("backend", ["reference", TRITON])
def test_nothing_is_seen_where_nothing_is_occupied_or_met(backend: str) -> None:
    origins, directions = portrait_rays(4)
    empty, full = torch.zeros(4, 4, 4) > 0, torch.ones(4, 4, 4) > 0
    for rays, occupancy in (((origins, directions), empty), ((origins, -directions), full)):
        totals = render(backend, thin_field(), rays, occupancy)
        assert not totals.values.any() and not totals.depth.any() and bool((totals.transmittance == 1).all())


@pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning")
@pytest.mark.parametrize("twin", [TRITON])
def test_what_overflows_half_precision_is_cut_and_not_lost(twin: str) -> None:
    field = thin_field()
    loud = replace(field, attention=field.attention * 1e4, density_of_attention=field.density_of_attention * 10)
    origins, directions = portrait_rays(4)
    totals = render(twin, loud, (origins, directions), torch.ones(4, 4, 4) > 0, 4, 0)
    assert totals.values.isfinite().all() and totals.transmittance.isfinite().all()


def test_planes_that_the_kernel_has_no_tile_for_are_refused() -> None:
    pytest.importorskip("triton")
    field = replace(thin_field(), geometry=GridGeometry(2, 17, 1, 4, 40, 7))
    with pytest.raises(ValueError, match="up to 16 features per plane, found 17"):
        render_triplane.triton(torch.zeros(1, 3), torch.ones(1, 3), BOUNDS, torch.ones(1, 1, 1) > 0, field, STEP, 1)
