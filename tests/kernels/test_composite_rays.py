"""Laws of compositing."""

import math

import pytest
import torch
from kernels.cases import BACKENDS, COMPOSITE_CASES, STEP, TWINS, CompositeCase, implementation, seeded
from torch import Tensor

from ns_talking.kernels.composite_rays import composite_rays


def outputs_and_grads(backend: str, case: CompositeCase) -> list[Tensor]:
    *floats, valid = case.inputs()
    density, rgb, auxiliary, weighted, t = leaves = [value.requires_grad_() for value in floats]
    outputs = astuple_of_tensors(
        implementation(composite_rays, backend)(density, STEP, rgb, auxiliary, weighted, t, valid)
    )
    generator = seeded(6)
    torch.stack([(value * torch.randn(value.shape, generator=generator)).sum() for value in outputs]).sum().backward()
    return [*(value.detach() for value in outputs), *(leaf.grad for leaf in leaves)]


def astuple_of_tensors(composite: object) -> list[Tensor]:
    return [getattr(composite, name) for name in ("rgb", "accumulation", "depth", "auxiliary", "weighted", "weights")]


@pytest.mark.parametrize("case", COMPOSITE_CASES, ids=str)
@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_of_compositing_equals_its_definition(case: CompositeCase, twin: str) -> None:
    for wanted, found in zip(outputs_and_grads("reference", case), outputs_and_grads(twin, case), strict=True):
        scale = wanted.abs().max().item() if wanted.numel() else 0.0
        torch.testing.assert_close(found, wanted, atol=1e-4 * scale + 1e-12, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", COMPOSITE_CASES, ids=str)
def test_weights_are_not_negative_and_sum_to_the_accumulation_of_at_most_one(case: CompositeCase, backend: str) -> None:
    density, rgb, auxiliary, weighted, t, valid = case.inputs()
    composite = implementation(composite_rays, backend)(density, STEP, rgb, auxiliary, weighted, t, valid)
    assert (composite.weights >= 0).all() and not composite.weights[~valid].any()
    torch.testing.assert_close(composite.weights.sum(dim=1), composite.accumulation)
    assert (composite.accumulation <= 1 + 1e-6).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_samples_behind_the_stop_change_nothing_and_get_no_gradient(backend: str) -> None:
    density = torch.tensor([[5.0, 5.0, 9.0, 7.0]], requires_grad=True)
    rgb = torch.rand(1, 4, 3, generator=seeded(0)).requires_grad_()
    auxiliary = torch.ones(1, 4, 1, requires_grad=True)
    valid = torch.ones(1, 4, dtype=torch.bool)
    composite = implementation(composite_rays, backend)(density, 1.0, rgb, auxiliary, None, torch.ones(1, 4), valid)
    assert composite.auxiliary.item() == 2
    assert not composite.weights[0, 2:].any()
    (composite.rgb.sum() + composite.auxiliary.sum()).backward()
    for grad in (density.grad, rgb.grad, auxiliary.grad):
        assert grad is not None
        assert not grad[0, 2:].any()
    assert rgb.grad is not None and rgb.grad[0, :2].all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_opaque_sample_hides_everything_behind_it(backend: str) -> None:
    density = torch.tensor([[math.inf, math.inf, 1.0]])
    rgb = torch.tensor([[[0.1, 0.2, 0.3], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]])
    t = torch.tensor([[2.0, 3.0, 4.0]])
    composite = implementation(composite_rays, backend)(
        density, STEP, rgb, None, None, t, torch.ones(1, 3, dtype=torch.bool)
    )
    assert torch.equal(composite.rgb, rgb[:, 0])
    assert composite.accumulation.item() == 1 and composite.depth.item() == 2
    assert composite.auxiliary.shape == (1, 0) and composite.weighted.shape == (1, 0)


def test_gradients_of_the_definition_are_exact() -> None:
    case = CompositeCase(4, 5, 2, 2, density=60.0)
    density, rgb, auxiliary, weighted, t, valid = case.inputs(torch.float64)
    leaves = [value.nan_to_num(0.5).requires_grad_() for value in (density, rgb, auxiliary, weighted, t)]

    def run(density: Tensor, rgb: Tensor, auxiliary: Tensor, weighted: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        return tuple(astuple_of_tensors(composite_rays(density, STEP, rgb, auxiliary, weighted, t, valid)))

    assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.parametrize("backend", BACKENDS)
def test_compositing_takes_inputs_that_are_not_contiguous(backend: str) -> None:
    inputs = COMPOSITE_CASES[0].inputs()
    strided = [value.transpose(0, 1).contiguous().transpose(0, 1) for value in inputs]
    composite = implementation(composite_rays, backend)
    for wanted, found in zip(
        astuple_of_tensors(composite(inputs[0], STEP, *inputs[1:])),
        astuple_of_tensors(composite(strided[0], STEP, *strided[1:])),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)


def test_samples_that_do_not_fit_are_refused() -> None:
    density, rgb, auxiliary, weighted, t, valid = COMPOSITE_CASES[0].inputs()
    with pytest.raises(ValueError, match="found"):
        composite_rays.numba(density, STEP, rgb[:, :-1], auxiliary, weighted, t, valid)
    with pytest.raises(ValueError, match="bool"):
        composite_rays.numba(density, STEP, rgb, auxiliary, weighted, t, valid.float())
