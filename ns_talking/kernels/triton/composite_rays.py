"""Compositing on the GPU: a thread owns a ray, forward and backward, and sums in float32.

The backward pass needs the sum of g_j w_j over the samples behind each sample. It walks the ray twice from the front:
the first time for the sum over all samples, the second time taking off what has been passed.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ns_talking.kernels.composite_rays import MAX_OPTICAL_DEPTH, Composite, check_composite
from ns_talking.kernels.triton.launch import block_size, launch, power_of_two

_RAYS = 64


def composite_rays(
    density: Tensor,
    step: float,
    rgb: Tensor,
    auxiliary: Tensor | None,
    weighted: Tensor | None,
    t: Tensor,
    valid: Tensor,
) -> Composite:
    """See `ns_talking.kernels.composite_rays.composite_rays`."""
    auxiliary, weighted = check_composite(density, rgb, auxiliary, weighted, t, valid)
    return Composite(
        *_Composite.apply(density.float(), step, rgb.float(), auxiliary.float(), weighted.float(), t.float(), valid)
    )


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, density, step, rgb, auxiliary, weighted, t, valid):
        inputs = [value.contiguous() for value in (density, rgb, auxiliary, weighted, t)]
        inputs.append(valid.contiguous().view(torch.uint8))
        num_rays, num_samples = density.shape
        shapes = ((3,), (), (), auxiliary.shape[2:], weighted.shape[2:], (num_samples,))
        outputs = tuple(torch.empty(num_rays, *shape, device=density.device) for shape in shapes)
        _run(_composite, inputs, outputs, step)
        ctx.save_for_backward(*inputs)
        ctx.step = step
        return outputs

    @staticmethod
    def backward(ctx, *grads):
        inputs = ctx.saved_tensors
        gradients = [torch.empty_like(value) for value in inputs[:5]]
        _run(_composite_backward, inputs, [*(grad.contiguous() for grad in grads), *gradients], ctx.step)
        density, rgb, auxiliary, weighted, t = gradients
        return density, None, rgb, auxiliary, weighted, t, None


def _run(kernel, inputs, others, step: float) -> None:
    num_rays, num_samples = inputs[0].shape
    num_auxiliary, num_weighted = inputs[2].shape[2], inputs[3].shape[2]
    block = block_size(num_rays, _RAYS)
    launch(
        kernel,
        (triton.cdiv(num_rays, block),),
        *inputs,
        *others,
        step,
        num_rays,
        num_samples,
        MAX_DEPTH=MAX_OPTICAL_DEPTH,
        AUXILIARY=num_auxiliary,
        AUXILIARY_TILE=power_of_two(num_auxiliary),
        WEIGHTED=num_weighted,
        WEIGHTED_TILE=power_of_two(num_weighted),
        BLOCK=block,
        num_warps=2,
    )


@triton.jit
def opacity(optical_depth):
    """1 - exp(-x), by its series where the subtraction would cancel."""
    small = optical_depth * (1 - optical_depth * (0.5 - optical_depth * (1 / 6)))
    return tl.where(optical_depth < 0.01, small, 1 - tl.exp(-optical_depth))


@triton.jit
def _channels(values, at, mask, COUNT: tl.constexpr, TILE: tl.constexpr):
    """Channels of one sample of every ray."""
    channel = tl.arange(0, TILE)
    where = mask[:, None] & (channel < COUNT)[None, :]
    return tl.load(values + at[:, None] * COUNT + channel[None, :], mask=where, other=0.0)


@triton.jit
def _put_channels(out, at, values, mask, COUNT: tl.constexpr, TILE: tl.constexpr):
    channel = tl.arange(0, TILE)
    where = mask[:, None] & (channel < COUNT)[None, :]
    tl.store(out + at[:, None] * COUNT + channel[None, :], values, mask=where)


@triton.jit
def _composite(
    density,
    rgb,
    auxiliary,
    weighted,
    t,
    valid,
    out_rgb,
    out_accumulation,
    out_depth,
    out_auxiliary,
    out_weighted,
    weights,
    step,
    num_rays,
    num_samples,
    MAX_DEPTH: tl.constexpr,
    AUXILIARY: tl.constexpr,
    AUXILIARY_TILE: tl.constexpr,
    WEIGHTED: tl.constexpr,
    WEIGHTED_TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    rays = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = rays < num_rays
    before = tl.zeros([BLOCK], tl.float32)
    accumulation = tl.zeros([BLOCK], tl.float32)
    distance = tl.zeros([BLOCK], tl.float32)
    colour = tl.zeros([BLOCK, 4], tl.float32)
    plain = tl.zeros([BLOCK, AUXILIARY_TILE], tl.float32)
    weighed = tl.zeros([BLOCK, WEIGHTED_TILE], tl.float32)
    for i in range(num_samples):
        at = rays * num_samples + i
        reached = exists & (tl.load(valid + at, mask=exists, other=0) != 0) & (before <= MAX_DEPTH)
        optical_depth = tl.load(density + at, mask=reached, other=0.0) * step
        weight = opacity(optical_depth) * tl.exp(-before)
        before += optical_depth
        weight = tl.where(reached, weight, 0.0)
        tl.store(weights + at, weight, mask=exists)
        accumulation += weight
        distance += weight * tl.load(t + at, mask=reached, other=0.0)
        colour += weight[:, None] * _channels(rgb, at, reached, 3, 4)
        if AUXILIARY > 0:
            plain += _channels(auxiliary, at, reached, AUXILIARY, AUXILIARY_TILE)
        if WEIGHTED > 0:
            weighed += weight[:, None] * _channels(weighted, at, reached, WEIGHTED, WEIGHTED_TILE)
    tl.store(out_accumulation + rays, accumulation, mask=exists)
    tl.store(out_depth + rays, distance, mask=exists)
    _put_channels(out_rgb, rays, colour, exists, 3, 4)
    if AUXILIARY > 0:
        _put_channels(out_auxiliary, rays, plain, exists, AUXILIARY, AUXILIARY_TILE)
    if WEIGHTED > 0:
        _put_channels(out_weighted, rays, weighed, exists, WEIGHTED, WEIGHTED_TILE)


@triton.jit
def _composite_backward(
    density,
    rgb,
    auxiliary,
    weighted,
    t,
    valid,
    in_rgb,
    in_accumulation,
    in_depth,
    in_auxiliary,
    in_weighted,
    in_weights,
    grad_density,
    grad_rgb,
    grad_auxiliary,
    grad_weighted,
    grad_t,
    step,
    num_rays,
    num_samples,
    MAX_DEPTH: tl.constexpr,
    AUXILIARY: tl.constexpr,
    AUXILIARY_TILE: tl.constexpr,
    WEIGHTED: tl.constexpr,
    WEIGHTED_TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    rays = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = rays < num_rays
    accumulation = tl.load(in_accumulation + rays, mask=exists, other=0.0)
    distance = tl.load(in_depth + rays, mask=exists, other=0.0)
    colour = _channels(in_rgb, rays, exists, 3, 4)
    plain = tl.zeros([BLOCK, AUXILIARY_TILE], tl.float32)
    if AUXILIARY > 0:
        plain = _channels(in_auxiliary, rays, exists, AUXILIARY, AUXILIARY_TILE)
    weighed = tl.zeros([BLOCK, WEIGHTED_TILE], tl.float32)
    if WEIGHTED > 0:
        weighed = _channels(in_weighted, rays, exists, WEIGHTED, WEIGHTED_TILE)
    behind = tl.zeros([BLOCK], tl.float32)
    for WRITES in tl.static_range(2):
        before = tl.zeros([BLOCK], tl.float32)
        for i in range(num_samples):
            at = rays * num_samples + i
            reached = exists & (tl.load(valid + at, mask=exists, other=0) != 0) & (before <= MAX_DEPTH)
            optical_depth = tl.load(density + at, mask=reached, other=0.0) * step
            light = tl.exp(-before)
            weight = tl.where(reached, opacity(optical_depth) * light, 0.0)
            before += optical_depth
            slope = tl.load(in_weights + at, mask=reached, other=0.0) + accumulation
            slope += distance * tl.load(t + at, mask=reached, other=0.0)
            slope += tl.sum(colour * _channels(rgb, at, reached, 3, 4), axis=1)
            if WEIGHTED > 0:
                slope += tl.sum(weighed * _channels(weighted, at, reached, WEIGHTED, WEIGHTED_TILE), axis=1)
            if WRITES == 0:
                behind += slope * weight
            else:
                behind -= slope * weight
                slope = (slope * light * tl.exp(-optical_depth) - behind) * step
                tl.store(grad_density + at, tl.where(reached, slope, 0.0), mask=exists)
                tl.store(grad_t + at, weight * distance, mask=exists)
                _put_channels(grad_rgb, at, weight[:, None] * colour, exists, 3, 4)
                if AUXILIARY > 0:
                    gradient = tl.where(reached[:, None], plain, 0.0)
                    _put_channels(grad_auxiliary, at, gradient, exists, AUXILIARY, AUXILIARY_TILE)
                if WEIGHTED > 0:
                    gradient = weight[:, None] * weighed
                    _put_channels(grad_weighted, at, gradient, exists, WEIGHTED, WEIGHTED_TILE)
