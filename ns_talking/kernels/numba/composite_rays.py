"""Compositing on the CPU: every thread owns rays, forward and backward; no intermediate leaves the registers."""

import math

import numba
import numpy as np
import torch
from torch import Tensor

from ns_talking.kernels.composite_rays import MAX_OPTICAL_DEPTH, Composite, check_composite
from ns_talking.kernels.numba.compiled import compiled

_ZERO = np.float32(0.0)
_MAX_OPTICAL_DEPTH = np.float32(MAX_OPTICAL_DEPTH)


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
        inputs = [value.contiguous() for value in (density, rgb, auxiliary, weighted, t, valid)]
        num_rays, num_samples = density.shape
        outputs = (
            torch.empty(num_rays, 3),
            torch.empty(num_rays),
            torch.empty(num_rays),
            torch.empty(num_rays, auxiliary.shape[2]),
            torch.empty(num_rays, weighted.shape[2]),
            torch.empty(num_rays, num_samples),
        )
        arrays = [value.detach().numpy() for value in inputs]
        _composite(*arrays, np.float32(step), *(value.numpy() for value in outputs))
        ctx.save_for_backward(*inputs)
        ctx.step = step
        return outputs

    @staticmethod
    def backward(ctx, *grads):
        inputs = ctx.saved_tensors
        gradients = [torch.empty(value.shape) for value in inputs[:5]]
        _composite_backward(
            *(value.detach().numpy() for value in inputs),
            np.float32(ctx.step),
            *(grad.contiguous().numpy() for grad in grads),
            *(gradient.numpy() for gradient in gradients),
        )
        density, rgb, auxiliary, weighted, t = gradients
        return density, None, rgb, auxiliary, weighted, t, None


@compiled
def _composite(
    density,
    rgb,
    auxiliary,
    weighted,
    t,
    valid,
    step,
    out_rgb,
    out_accumulation,
    out_depth,
    out_auxiliary,
    out_weighted,
    weights,
):
    num_rays, num_samples = density.shape
    for ray in numba.prange(num_rays):
        before = np.float64(0.0)
        red = green = blue = accumulation = depth = _ZERO
        out_auxiliary[ray] = _ZERO
        out_weighted[ray] = _ZERO
        for i in range(num_samples):
            weights[ray, i] = _ZERO
            if not (valid[ray, i] and np.float32(before) <= _MAX_OPTICAL_DEPTH):
                continue
            optical_depth = density[ray, i] * step
            weight = np.float32(-math.expm1(-optical_depth) * math.exp(-np.float32(before)))
            before += optical_depth
            weights[ray, i] = weight
            red += weight * rgb[ray, i, 0]
            green += weight * rgb[ray, i, 1]
            blue += weight * rgb[ray, i, 2]
            accumulation += weight
            depth += weight * t[ray, i]
            for channel in range(auxiliary.shape[2]):
                out_auxiliary[ray, channel] += auxiliary[ray, i, channel]
            for channel in range(weighted.shape[2]):
                out_weighted[ray, channel] += weight * weighted[ray, i, channel]
        out_rgb[ray, 0], out_rgb[ray, 1], out_rgb[ray, 2] = red, green, blue
        out_accumulation[ray], out_depth[ray] = accumulation, depth


@compiled
def _composite_backward(
    density,
    rgb,
    auxiliary,
    weighted,
    t,
    valid,
    step,
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
):
    num_rays, num_samples = density.shape
    for ray in numba.prange(num_rays):
        # Outwards, the row of the gradient remembers the optical depth before every sample; -1 where it is masked.
        before = np.float64(0.0)
        for i in range(num_samples):
            if valid[ray, i] and np.float32(before) <= _MAX_OPTICAL_DEPTH:
                grad_density[ray, i] = before
                before += density[ray, i] * step
            else:
                grad_density[ray, i] = np.float32(-1.0)
        # Backwards, `behind` is the sum of g_j w_j over the samples behind.
        behind = np.float64(0.0)
        for i in range(num_samples - 1, -1, -1):
            if grad_density[ray, i] < _ZERO:
                grad_density[ray, i] = _ZERO
                grad_t[ray, i] = _ZERO
                grad_rgb[ray, i] = _ZERO
                grad_auxiliary[ray, i] = _ZERO
                grad_weighted[ray, i] = _ZERO
                continue
            optical_depth = density[ray, i] * step
            light = math.exp(-grad_density[ray, i])
            weight = np.float32(-math.expm1(-optical_depth) * light)
            grad_weight = in_weights[ray, i] + in_accumulation[ray] + in_depth[ray] * t[ray, i]
            for channel in range(3):
                grad_weight += in_rgb[ray, channel] * rgb[ray, i, channel]
                grad_rgb[ray, i, channel] = weight * in_rgb[ray, channel]
            for channel in range(weighted.shape[2]):
                grad_weight += in_weighted[ray, channel] * weighted[ray, i, channel]
                grad_weighted[ray, i, channel] = weight * in_weighted[ray, channel]
            for channel in range(auxiliary.shape[2]):
                grad_auxiliary[ray, i, channel] = in_auxiliary[ray, channel]
            grad_t[ray, i] = weight * in_depth[ray]
            grad_density[ray, i] = np.float32((grad_weight * light * math.exp(-optical_depth) - behind) * step)
            behind += grad_weight * weight
