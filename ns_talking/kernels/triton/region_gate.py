"""The region gate on the GPU: a thread block reads its points' attention once, for the weighed code and the strength.

The gradient of the code is a sum over all points. Programs write their own sums, which are then added up in a fixed
order, so it does not depend on which program ends first.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ns_talking.kernels.region_gate import TINY, check_gate
from ns_talking.kernels.triton.launch import block_size, launch, power_of_two

_POINTS = 64


def region_gate(attention: Tensor, code: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """See `ns_talking.kernels.region_gate.region_gate`."""
    check_gate(attention, code, row)
    return _Gate.apply(attention, code, row)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, attention, code, row):
        attention, code, row = attention.contiguous(), code.contiguous(), row.contiguous()
        dtype = torch.promote_types(attention.dtype, code.dtype)
        weighed = torch.empty(attention.shape, dtype=dtype, device=attention.device)
        strength = torch.empty(len(attention), device=attention.device)
        _run(_gate, attention, code, row, weighed, strength)
        ctx.save_for_backward(attention, code, row, strength)
        return weighed, strength

    @staticmethod
    def backward(ctx, grad_weighed, grad_strength):
        attention, code, row, strength = ctx.saved_tensors
        grad_attention = torch.empty_like(attention)
        blocks = triton.cdiv(len(attention), block_size(len(attention), _POINTS))
        sums = torch.empty(blocks, *code.shape, device=code.device)
        gradients = grad_weighed.contiguous(), grad_strength.contiguous()
        _run(_gate_backward, attention, code, row, *gradients, strength, grad_attention, sums)
        return grad_attention, sums.sum(dim=0), None


def _run(kernel, attention: Tensor, code: Tensor, row: Tensor, *others: Tensor) -> None:
    (num_points, channels), num_frames = attention.shape, len(code)
    block = block_size(num_points, _POINTS)
    launch(
        kernel,
        (triton.cdiv(num_points, block),),
        attention,
        code,
        row,
        *others,
        num_points,
        num_frames,
        TINY=TINY,
        CHANNELS=channels,
        TILE=power_of_two(channels),
        BLOCK=block,
        num_warps=4,
    )


@triton.jit
def _gate(
    attention,
    code,
    row,
    weighed,
    strength,
    num_points,
    num_frames,
    TINY: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = point < num_points
    channel = tl.arange(0, TILE)
    used = exists[:, None] & (channel < CHANNELS)[None, :]
    at = point[:, None] * CHANNELS + channel[None, :]
    frame = tl.load(row + point, mask=exists, other=0)
    value = tl.load(attention + at, mask=used, other=0.0).to(tl.float32)
    heard = tl.load(code + frame[:, None] * CHANNELS + channel[None, :], mask=used, other=0.0).to(tl.float32)
    tl.store(weighed + at, (value * heard).to(weighed.dtype.element_ty), mask=used)
    tl.store(strength + point, tl.sqrt(tl.sum(value * value, axis=1) + TINY), mask=exists)


@triton.jit
def _gate_backward(
    attention,
    code,
    row,
    grad_weighed,
    grad_strength,
    strength,
    grad_attention,
    sums,
    num_points,
    num_frames,
    TINY: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    program = tl.program_id(0).to(tl.int64)
    point = program * BLOCK + tl.arange(0, BLOCK)
    exists = point < num_points
    channel = tl.arange(0, TILE)
    used = exists[:, None] & (channel < CHANNELS)[None, :]
    at = point[:, None] * CHANNELS + channel[None, :]
    frame = tl.load(row + point, mask=exists, other=0)
    value = tl.load(attention + at, mask=used, other=0.0).to(tl.float32)
    heard = tl.load(code + frame[:, None] * CHANNELS + channel[None, :], mask=used, other=0.0).to(tl.float32)
    slope = tl.load(grad_weighed + at, mask=used, other=0.0).to(tl.float32)
    along = tl.load(grad_strength + point, mask=exists, other=0.0) / tl.load(strength + point, mask=exists, other=1.0)
    gradient = slope * heard + along[:, None] * value
    tl.store(grad_attention + at, gradient.to(grad_attention.dtype.element_ty), mask=used)
    for other in range(num_frames):
        total = tl.sum(tl.where((frame == other)[:, None], slope * value, 0.0), axis=0)
        tl.store(sums + (program * num_frames + other) * CHANNELS + channel, total, mask=channel < CHANNELS)
