"""Laws of the region gate."""

import pytest
import torch
from kernels.cases import BACKENDS, TRITON, implementation, seeded
from torch import Tensor

from ns_talking.kernels.region_gate import check_gate, region_gate

CASES = [(1000, 32, 3), (1, 1, 1), (77, 33, 1), (0, 32, 2), (130, 5, 8)]
GATES = [backend for backend in BACKENDS if backend != "numba"]


def inputs(num_points: int, channels: int, num_frames: int) -> tuple[Tensor, Tensor, Tensor]:
    attention = torch.randn(num_points, channels, generator=seeded(0))
    attention[: num_points // 4] = 0
    code = torch.randn(num_frames, channels, generator=seeded(1))
    return attention, code, torch.randint(num_frames, (num_points,), generator=seeded(2))


def outputs_and_grads(backend: str, case: tuple[int, int, int], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    attention, code, row = inputs(*case)
    attention, code = attention.to(dtype).requires_grad_(), code.to(dtype).requires_grad_()
    weighed, strength = implementation(region_gate, backend)(attention, code, row)
    slopes = [torch.randn(value.shape, generator=seeded(3)).to(value.dtype) for value in (weighed, strength)]
    torch.autograd.backward([weighed, strength], slopes)
    assert attention.grad is not None and code.grad is not None
    return [weighed.detach(), strength.detach(), attention.grad, code.grad]


@pytest.mark.parametrize("twin", [TRITON])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_twin_of_the_gate_equals_its_definition(case: tuple[int, int, int], twin: str) -> None:
    for wanted, found in zip(outputs_and_grads("reference", case), outputs_and_grads(twin, case), strict=True):
        scale = wanted.abs().max().item() if wanted.numel() else 0.0
        torch.testing.assert_close(found, wanted, atol=1e-4 * scale, rtol=0)


@pytest.mark.parametrize("twin", [TRITON])
def test_a_twin_keeps_half_precision(twin: str) -> None:
    expected, actual = (outputs_and_grads(backend, CASES[0], torch.float16) for backend in ("reference", twin))
    for wanted, found in zip(expected, actual, strict=True):
        assert found.dtype == wanted.dtype
        torch.testing.assert_close(found, wanted, atol=4e-3 * wanted.abs().max().item(), rtol=0)


@pytest.mark.parametrize("backend", GATES)
def test_a_point_that_listens_to_nothing_is_silent_and_has_finite_gradients(backend: str) -> None:
    attention, code = torch.zeros(3, 4, requires_grad=True), torch.randn(1, 4, generator=seeded(0))
    weighed, strength = implementation(region_gate, backend)(attention, code, torch.zeros(3, dtype=torch.long))
    strength.sum().backward()
    assert not weighed.any() and float(strength.detach().max()) <= 1e-6
    assert attention.grad is not None and attention.grad.isfinite().all()


def test_gradients_of_the_gate_are_exact() -> None:
    attention, code, row = inputs(9, 4, 2)
    leaves = (attention + 0.1).double().requires_grad_(), code.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, c: region_gate(a, c, row), leaves)


def test_attention_and_code_of_different_widths_are_refused() -> None:
    attention, code, row = inputs(9, 4, 2)
    with pytest.raises(ValueError, match="channels.*found"):
        check_gate(attention, torch.ones(2, 5), row)
    with pytest.raises(ValueError, match="channels.*found"):
        check_gate(attention, code, row[1:])
