"""Laws of rendering front to back in groups."""

import pytest
import torch
from kernels.cases import BOUNDS, MAX_SAMPLES, STEP, TRITON, TWINS, MarchCase, implementation, seeded
from torch import Tensor

from ns_talking.kernels.composite_rays import composite_rays
from ns_talking.kernels.front_to_back import RayTotals, accumulate_rays, pack_samples, select_samples
from ns_talking.kernels.march_rays import march_rays

CASES = [
    MarchCase(5000, (128, 128, 128), "head"),
    MarchCase(200, (16, 16, 16), "half", max_samples=1),
    MarchCase(1, (4, 4, 4), "full", max_samples=5),
    MarchCase(64, (8, 8, 8), "empty"),
    MarchCase(0, (8, 8, 8), "full"),
]


def field(points: Tensor) -> tuple[Tensor, Tensor]:
    """A density that is opaque in places, and four channels."""
    density = 400 * (0.5 + 0.5 * torch.sin(40 * points).prod(dim=-1)) ** 4
    return density, torch.sin(
        7 * points.repeat_interleave(2, dim=1)[:, :4] + torch.arange(4, device=points.device)
    ) ** 2


@pytest.mark.parametrize("backend", ["torch", "numba", TRITON])
@pytest.mark.parametrize("group_size", [1, 4, MAX_SAMPLES])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_groups_add_up_to_compositing_everything(
    case: MarchCase, group_size: int, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NS_TALKING_KERNELS", backend)
    device = "cuda" if backend == "triton" and torch.cuda.is_available() else "cpu"
    arguments = [value.to(device) if isinstance(value, Tensor) else value for value in case.arguments()]
    origins, directions, bounds, *_ = arguments
    samples = march_rays(*arguments)
    points = (
        (origins[:, None] + samples.t[..., None] * directions[:, None] - bounds[0]) / (bounds[1] - bounds[0])
    ).clamp(0, 1)
    density, values = (value.unflatten(0, samples.t.shape) for value in field(points.flatten(0, 1)))
    whole = composite_rays(density, STEP, values[..., :3], None, values[..., 3:], samples.t, samples.valid)

    totals = RayTotals.start(case.num_rays, channels=4, device=device)
    for first in range(0, case.max_samples, group_size):
        group = select_samples(samples, origins, directions, bounds, totals.transmittance, first, group_size)
        accumulate_rays(totals, group, *field(group.points), STEP)

    close = {"atol": 2e-4, "rtol": 0}
    torch.testing.assert_close(totals.values[:, :3], whole.rgb, **close)
    torch.testing.assert_close(totals.values[:, 3:], whole.weighted, **close)
    torch.testing.assert_close(1 - totals.transmittance, whole.accumulation, **close)
    torch.testing.assert_close(totals.depth, whole.depth, atol=1e-3, rtol=0)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_packs_the_samples_of_the_definition(case: MarchCase, twin: str) -> None:
    origins, directions, *_ = arguments = case.arguments()
    samples = march_rays.numba(*arguments)
    transmittance = torch.rand(case.num_rays, generator=seeded(0)) ** 12
    inputs = (samples.t[:, 1:6], samples.valid[:, 1:6], origins, directions, BOUNDS, transmittance)
    for wanted, found in zip(pack_samples.reference(*inputs), implementation(pack_samples, twin)(*inputs), strict=True):
        assert wanted.dtype == found.dtype
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def test_opaque_rays_are_not_selected() -> None:
    origins, directions, *_ = arguments = CASES[0].arguments()
    samples = march_rays(*arguments)
    group = select_samples(samples, origins, directions, BOUNDS, torch.zeros(len(origins)), 0, 4)
    assert group.ray.numel() == 0
    assert group.points.shape == (0, 3)
