"""Linear layers: oneDNN's equal PyTorch's."""

from __future__ import annotations

import pytest
import torch

from ns_talking.kernels.linear import linear


def tensors(rows: int, channels: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows + channels + outputs)
    return (
        torch.randn(rows, channels, generator=generator),
        torch.randn(outputs, channels, generator=generator),
        torch.randn(rows, outputs, generator=generator),
    )


@pytest.mark.parametrize(
    ("rows", "channels", "outputs"), [(1000, 69, 64), (77, 64, 65), (33, 64, 3), (1, 1, 1), (0, 5, 3)]
)
def test_values_and_gradients_equal_the_definition(rows: int, channels: int, outputs: int) -> None:
    inputs, weight, upstream = tensors(rows, channels, outputs)
    results = []
    for function in (linear, linear.reference):
        own = inputs.clone().requires_grad_(), weight.clone().requires_grad_()
        output = function(*own)
        output.backward(upstream)
        results.append((output.detach(), own[0].grad, own[1].grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_columns_of_a_larger_weight_need_no_copy_by_the_caller() -> None:
    inputs, weight, upstream = tensors(50, 40, 16)
    grads = []
    for function in (linear, linear.reference):
        whole = weight.clone().requires_grad_()
        function(inputs[:, :24], whole.split((24, 16), dim=1)[0]).backward(upstream)
        grads.append(whole.grad)
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-4)


def test_frozen_inputs_or_weights_get_no_gradient() -> None:
    inputs, weight, upstream = tensors(8, 4, 2)
    weight.requires_grad_()
    linear(inputs, weight).backward(upstream)
    assert inputs.grad is None
    assert weight.grad is not None


def test_double_precision_is_computed_by_the_definition() -> None:
    inputs, weight, _ = (tensor.double() for tensor in tensors(8, 4, 2))
    assert linear.choose(inputs, weight) is linear.reference
