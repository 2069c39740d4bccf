"""Laws of the fused torso."""

from dataclasses import replace

import pytest
import torch
from kernels.cases import TRITON, er_nerf_canvas, folded_canvas, implementation, rad_nerf_canvas, seeded
from torch import Tensor

from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.render_canvas import FoldedCanvas, render_canvas

ODD = {
    "er-nerf": er_nerf_canvas,
    "rad-nerf": rad_nerf_canvas,
    # Every width another one; levels that fill no slice; three features per level, of which five fit into one.
    "odd": lambda: folded_canvas(GridGeometry(2, 7, 3, 4, 40, 7, "tiled"), 3, (20, 35), 33, 9),
    "one level": lambda: folded_canvas(GridGeometry(2, 1, 1, 5, 5, 6), 1, (3, 3), 2, 5),
    "hashed": lambda: folded_canvas(GridGeometry(2, 4, 16, 8, 60, 9), 4, (64, 16), 16, 16),
}


def pixels(count: int) -> Tensor:
    """Places in the picture, its corners among them."""
    places = torch.rand(count, 2, generator=seeded(0)) * 2 - 1
    places[: min(count, 2)] = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])[:count]
    return places


@pytest.mark.parametrize("twin", [TRITON])
@pytest.mark.parametrize("kind", ODD)
def test_a_picture_is_that_of_the_definition(kind: str, twin: str) -> None:
    canvas, where = ODD[kind](), pixels(331)
    seen = torch.rand(331, generator=seeded(1)) < 0.7
    expected = render_canvas.reference(where, seen, canvas)
    actual = implementation(render_canvas, twin)(where, seen, canvas)
    assert float(expected[seen].std(dim=0).min()) > 0.02
    assert float((expected - actual).abs().max()) <= 2 / 255
    assert float((expected - actual).square().mean()) <= 1e-5


@pytest.mark.parametrize("twin", [TRITON])
@pytest.mark.parametrize("count", [0, 1, 63, 65])
def test_any_number_of_pixels_is_drawn(count: int, twin: str) -> None:
    canvas, where, seen = er_nerf_canvas(), pixels(count), torch.ones(count) > 0
    actual = implementation(render_canvas, twin)(where, seen, canvas)
    assert actual.shape == (count, 4)
    torch.testing.assert_close(actual, render_canvas.reference(where, seen, canvas), atol=2 / 255, rtol=0)


@pytest.mark.parametrize("backend", ["reference", TRITON])
def test_what_is_not_seen_is_empty(backend: str) -> None:
    seen = torch.arange(100) == 40
    found = implementation(render_canvas, backend)(pixels(100), seen, er_nerf_canvas())
    assert bool(found[seen].any()) and not bool(found[~seen].any())
    assert not bool(implementation(render_canvas, backend)(pixels(100), ~seen & seen, er_nerf_canvas()).any())


@pytest.mark.parametrize("backend", ["reference", TRITON])
@pytest.mark.parametrize("reach", [50.0, 1e30])
def test_a_place_that_is_moved_off_the_canvas_stays_at_its_edge(reach: float, backend: str) -> None:
    canvas = er_nerf_canvas()
    # Nothing but the shift tells pixels apart, and it leads all of them over the same corner.
    outwards = replace(
        canvas,
        deformation=canvas.deformation * 0,
        deformation_constant=canvas.deformation_constant.abs(),
        deformation_hidden=canvas.deformation_hidden.abs(),
        deformation_out=canvas.deformation_out.abs() * reach,
        place=canvas.place * 0,
    )
    found = implementation(render_canvas, backend)(pixels(40), torch.ones(40) > 0, outwards)
    assert found.isfinite().all()
    torch.testing.assert_close(found, found[:1].expand(40, 4), atol=1e-3, rtol=0)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning")
@pytest.mark.parametrize("twin", [TRITON])
def test_what_overflows_half_precision_is_cut_and_not_lost(twin: str) -> None:
    canvas = er_nerf_canvas()
    loud = replace(canvas, constant=canvas.constant * 1e6)
    found = implementation(render_canvas, twin)(pixels(20), torch.ones(20) > 0, loud)
    assert found.isfinite().all() and float(found.min()) >= 0 and float(found.max()) <= 1


def test_a_level_that_the_kernel_has_no_tile_for_is_refused() -> None:
    pytest.importorskip("triton")
    canvas: FoldedCanvas = folded_canvas(GridGeometry(2, 1, 17, 4, 4, 5), 1, (16, 16), 16, 16)
    with pytest.raises(ValueError, match="up to 16 features per level, found 17"):
        render_canvas.triton(torch.zeros(1, 2), torch.ones(1) > 0, canvas)
