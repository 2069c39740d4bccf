"""Spherical harmonics on the GPU: a thread evaluates all components of one direction, forward and backward."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ns_talking.kernels.spherical_harmonics import check_degree
from ns_talking.kernels.triton.launch import block_size, launch

_DIRECTIONS = 128


def spherical_harmonics(directions: Tensor, degree: int = 4) -> Tensor:
    """See `ns_talking.kernels.spherical_harmonics.spherical_harmonics`."""
    check_degree(degree)
    return _Harmonics.apply(directions.float(), degree)


class _Harmonics(torch.autograd.Function):
    @staticmethod
    def forward(ctx, directions, degree):
        directions = directions.contiguous()
        ctx.save_for_backward(directions)
        ctx.degree = degree
        components = torch.empty(len(directions), degree**2, device=directions.device)
        _run(_harmonics, directions, components, degree)
        return components

    @staticmethod
    def backward(ctx, grad):
        (directions,) = ctx.saved_tensors
        gradient = torch.empty_like(directions)
        _run(_harmonics_backward, directions, grad.float().contiguous(), ctx.degree, gradient)
        return gradient, None


def _run(kernel, directions: Tensor, components: Tensor, degree: int, *gradient: Tensor) -> None:
    num_directions = len(directions)
    block = block_size(num_directions, _DIRECTIONS)
    launch(
        kernel,
        (triton.cdiv(num_directions, block),),
        directions,
        components,
        *gradient,
        num_directions,
        DEGREE=degree,
        BLOCK=block,
        num_warps=4,
    )


@triton.jit
def harmonic(x, y, z, INDEX: tl.constexpr):
    """One component of unit vectors, in the definition's order."""
    if INDEX == 0:
        return 0.28209479177387814 + 0 * x
    elif INDEX == 1:
        return -0.4886025119029199 * y
    elif INDEX == 2:
        return 0.4886025119029199 * z
    elif INDEX == 3:
        return -0.4886025119029199 * x
    elif INDEX == 4:
        return 1.0925484305920792 * x * y
    elif INDEX == 5:
        return -1.0925484305920792 * y * z
    elif INDEX == 6:
        return 0.31539156525252005 * (3 * z * z - 1)
    elif INDEX == 7:
        return -1.0925484305920792 * x * z
    elif INDEX == 8:
        return 0.5462742152960396 * (x * x - y * y)
    elif INDEX == 9:
        return -0.5900435899266435 * y * (3 * x * x - y * y)
    elif INDEX == 10:
        return 2.890611442640554 * x * y * z
    elif INDEX == 11:
        return -0.4570457994644658 * y * (5 * z * z - 1)
    elif INDEX == 12:
        return 0.3731763325901154 * z * (5 * z * z - 3)
    elif INDEX == 13:
        return -0.4570457994644658 * x * (5 * z * z - 1)
    elif INDEX == 14:
        return 1.445305721320277 * z * (x * x - y * y)
    else:
        return -0.5900435899266435 * x * (x * x - 3 * y * y)


@triton.jit
def _harmonics(directions, components, num_directions, DEGREE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = row < num_directions
    x = tl.load(directions + row * 3, mask=exists, other=0.0)
    y = tl.load(directions + row * 3 + 1, mask=exists, other=0.0)
    z = tl.load(directions + row * 3 + 2, mask=exists, other=0.0)
    for INDEX in tl.static_range(DEGREE * DEGREE):
        tl.store(components + row * (DEGREE * DEGREE) + INDEX, harmonic(x, y, z, INDEX), mask=exists)


@triton.jit
def _harmonics_backward(directions, grad, gradient, num_directions, DEGREE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = row < num_directions
    x = tl.load(directions + row * 3, mask=exists, other=0.0)
    y = tl.load(directions + row * 3 + 1, mask=exists, other=0.0)
    z = tl.load(directions + row * 3 + 2, mask=exists, other=0.0)
    at = grad + row * (DEGREE * DEGREE)
    along_x = tl.zeros([BLOCK], tl.float32)
    along_y = tl.zeros([BLOCK], tl.float32)
    along_z = tl.zeros([BLOCK], tl.float32)
    if DEGREE > 1:
        along_y -= 0.4886025119029199 * tl.load(at + 1, mask=exists, other=0.0)
        along_z += 0.4886025119029199 * tl.load(at + 2, mask=exists, other=0.0)
        along_x -= 0.4886025119029199 * tl.load(at + 3, mask=exists, other=0.0)
    if DEGREE > 2:
        g = 1.0925484305920792 * tl.load(at + 4, mask=exists, other=0.0)
        along_x += g * y
        along_y += g * x
        g = -1.0925484305920792 * tl.load(at + 5, mask=exists, other=0.0)
        along_y += g * z
        along_z += g * y
        along_z += 0.31539156525252005 * 6 * z * tl.load(at + 6, mask=exists, other=0.0)
        g = -1.0925484305920792 * tl.load(at + 7, mask=exists, other=0.0)
        along_x += g * z
        along_z += g * x
        g = 0.5462742152960396 * 2 * tl.load(at + 8, mask=exists, other=0.0)
        along_x += g * x
        along_y -= g * y
    if DEGREE > 3:
        g = -0.5900435899266435 * tl.load(at + 9, mask=exists, other=0.0)
        along_x += g * 6 * x * y
        along_y += g * 3 * (x * x - y * y)
        g = 2.890611442640554 * tl.load(at + 10, mask=exists, other=0.0)
        along_x += g * y * z
        along_y += g * x * z
        along_z += g * x * y
        g = -0.4570457994644658 * tl.load(at + 11, mask=exists, other=0.0)
        along_y += g * (5 * z * z - 1)
        along_z += g * 10 * y * z
        along_z += 0.3731763325901154 * (15 * z * z - 3) * tl.load(at + 12, mask=exists, other=0.0)
        g = -0.4570457994644658 * tl.load(at + 13, mask=exists, other=0.0)
        along_x += g * (5 * z * z - 1)
        along_z += g * 10 * x * z
        g = 1.445305721320277 * tl.load(at + 14, mask=exists, other=0.0)
        along_x += g * 2 * x * z
        along_y -= g * 2 * y * z
        along_z += g * (x * x - y * y)
        g = -0.5900435899266435 * tl.load(at + 15, mask=exists, other=0.0)
        along_x += g * 3 * (x * x - y * y)
        along_y -= g * 6 * x * y
    tl.store(gradient + row * 3, along_x, mask=exists)
    tl.store(gradient + row * 3 + 1, along_y, mask=exists)
    tl.store(gradient + row * 3 + 2, along_z, mask=exists)
