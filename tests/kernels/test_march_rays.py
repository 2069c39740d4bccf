"""Laws of ray marching."""

import pytest
import torch
from kernels.cases import BACKENDS, BOUNDS, MARCH_CASES, STEP, TWINS, MarchCase, implementation, portrait_rays

from ns_talking.kernels.march_rays import MIN_NEAR, march_rays


@pytest.mark.parametrize("case", MARCH_CASES, ids=str)
@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_places_exactly_the_samples_of_the_definition(case: MarchCase, twin: str) -> None:
    expected = march_rays.reference(*case.arguments())
    actual = implementation(march_rays, twin)(*case.arguments())
    for name in ("near", "far", "valid", "steps", "t"):
        wanted, found = getattr(expected, name), getattr(actual, name)
        assert wanted.dtype == found.dtype
        assert torch.equal(wanted, found), name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", MARCH_CASES, ids=str)
def test_samples_are_the_first_occupied_positions_of_the_lattice(case: MarchCase, backend: str) -> None:
    origins, directions, bounds, occupancy, step, max_samples, jitter = case.arguments()
    samples = implementation(march_rays, backend)(*case.arguments())
    valid = samples.valid
    assert valid.shape == (case.num_rays, max_samples)
    assert torch.equal(valid, valid.cummin(dim=1).values if valid.numel() else valid)
    assert (samples.steps[~valid] == -1).all() and (samples.t[~valid] == 0).all()
    t = samples.near[:, None] + (samples.steps + jitter[:, None]) * step
    assert torch.equal(t[valid], samples.t[valid])
    assert (samples.t < samples.far[:, None])[valid].all() and (samples.t >= MIN_NEAR)[valid].all()
    steps = samples.steps.masked_fill(~valid, 2**30)
    assert (steps.diff(dim=1) > 0)[valid[:, 1:]].all()
    points = origins[:, None] + samples.t[:, :, None] * directions[:, None]
    shape = torch.tensor(occupancy.shape)
    voxel = ((points - bounds[0]) * (shape / (bounds[1] - bounds[0]))).long().clamp(min=0).minimum(shape - 1)
    assert occupancy[tuple(voxel[valid].T)].all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_rays_that_miss_the_bounds_have_no_samples(backend: str) -> None:
    origins = torch.tensor([[0.0, -3.0, 0.0], [0.0, -3.0, 0.0], [3.0, 0.0, 0.0]])
    directions = torch.tensor([[0.0, -1.0, 0.0], [0.6, 0.8, 0.0], [0.0, 1.0, 0.0]])
    occupancy = torch.ones(4, 4, 4, dtype=torch.bool)
    samples = implementation(march_rays, backend)(origins, directions, BOUNDS, occupancy, STEP, 8, torch.zeros(3))
    assert not samples.valid.any()
    assert torch.equal(samples.near, samples.far)


@pytest.mark.parametrize("backend", BACKENDS)
def test_marching_takes_inputs_that_are_not_contiguous(backend: str) -> None:
    origins, directions, bounds, occupancy, step, max_samples, jitter = MARCH_CASES[2].arguments()
    march = implementation(march_rays, backend)
    expected = march(origins, directions, bounds, occupancy, step, max_samples, jitter)
    strided = march(
        origins.t().contiguous().t(),
        directions.t().contiguous().t(),
        bounds.t().contiguous().t(),
        occupancy.permute(2, 1, 0).contiguous().permute(2, 1, 0),
        step,
        max_samples,
        jitter[:1].expand_as(jitter),
    )
    again = march(origins, directions, bounds, occupancy, step, max_samples, jitter[:1].repeat(len(jitter)))
    assert torch.equal(strided.steps, again.steps) and torch.equal(expected.near, strided.near)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_portrait_camera_sees_the_whole_depth_of_the_head(backend: str) -> None:
    origins, directions = portrait_rays(16)
    occupancy = torch.ones(8, 8, 8, dtype=torch.bool)
    samples = implementation(march_rays, backend)(origins, directions, BOUNDS, occupancy, STEP, 200, torch.zeros(256))
    centre = samples.valid[8 * 16 + 8].sum().item()
    assert centre == pytest.approx((BOUNDS[1, 1] - BOUNDS[0, 1]).item() / STEP, abs=1)


def test_arguments_that_do_not_fit_are_refused() -> None:
    origins, directions, bounds, occupancy, step, max_samples, jitter = MARCH_CASES[2].arguments()
    march = march_rays.numba
    with pytest.raises(ValueError, match="threshold"):
        march(origins, directions, bounds, occupancy.float(), step, max_samples, jitter)
    with pytest.raises(ValueError, match="step > 0"):
        march(origins, directions, bounds, occupancy, 0.0, max_samples, jitter)
    with pytest.raises(ValueError, match="jitter"):
        march(origins, directions, bounds, occupancy, step, max_samples, jitter[:-1])
