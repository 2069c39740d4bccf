"""Multiresolution grid encoding: interpolate learned features at every level of a grid.

Let u be a point of the unit square or cube and s_l the scale of level l. Its position there is p = u s_l + 1/2, its
cell is floor(p), and f = p - floor(p) are its coordinates inside the cell. The feature of level l is the sum over the
2^d corners c in {0,1}^d of the cell

    sum_c  table[offset_l + index_l(floor(p) + c)]  prod_a (f_a if c_a else 1 - f_a).

It is linear in the table, whose gradient therefore scatters the same weights; and piecewise multilinear in u.
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ns_talking.kernels.dispatch import op
from ns_talking.kernels.grid_geometry import PRIMES, GridGeometry


@op(
    numba="ns_talking.kernels.numba.hash_encoding:hash_encoding",
    triton="ns_talking.kernels.triton.hash_encoding:hash_encoding",
    tcnn="ns_talking.kernels.tcnn.hash_encoding:hash_encoding",
)
def hash_encoding(
    points: Float[Tensor, "samples dimensions"],
    table: Float[Tensor, "entries channels"],
    geometry: GridGeometry,
) -> Float[Tensor, "samples features"]:
    """Encode points with a multiresolution grid of learned features.

    Gradients flow to the table and to the points.

    Source:
        Instant neural graphics primitives (Müller et al., SIGGRAPH 2022), section 3.

    Args:
        points: Coordinates in [0, 1]. A point outside, or with a NaN, has the feature 0.
        table: Features of all levels, one after the other as `geometry.offsets` says.
        geometry: Sizes of the grid.

    Returns:
        Features of all levels side by side, the coarsest first.
    """
    check_grid(points, table, geometry)
    inside = ((points >= 0) & (points <= 1)).all(dim=-1)
    position = torch.where(inside[:, None], points, torch.full_like(points, 0.5)).t()[:, None, :]
    position = position * _column(geometry.scales, points.dtype, points.device) + 0.5
    cell = position.detach().floor()
    fraction = position - cell
    weights = [(1 - fraction[axis], fraction[axis]) for axis in range(geometry.dimensions)]
    terms = _index_terms(cell.int(), geometry)
    features = table.new_zeros(())
    for corner in range(1 << geometry.dimensions):
        bits = [corner >> axis & 1 for axis in range(geometry.dimensions)]
        weight = functools.reduce(torch.mul, [weights[axis][bit] for axis, bit in enumerate(bits)])
        entry = _entries([terms[axis][bit] for axis, bit in enumerate(bits)], geometry)
        features = _Lookup.apply(table, entry) * weight[:, :, None] + features
    return (features * inside[:, None]).transpose(0, 1).reshape(points.shape[0], geometry.output_dim)


def check_grid(points: Tensor, table: Tensor, geometry: GridGeometry) -> None:
    """Refuse points and tables that do not belong to a grid.

    Raises:
        ValueError: A shape is wrong.
    """
    if points.ndim != 2 or points.shape[1] != geometry.dimensions:
        raise ValueError(
            f"A {geometry.dimensions}-D grid encodes points of shape [samples, {geometry.dimensions}], "
            f"found {list(points.shape)}."
        )
    if tuple(table.shape) != (geometry.num_entries, geometry.features_per_level):
        raise ValueError(
            f"The table of this grid has shape [{geometry.num_entries}, {geometry.features_per_level}], "
            f"found {list(table.shape)}. Was it made for another geometry?"
        )


def _column(values: Sequence[float] | Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)[:, None]


def _index_terms(
    cell: Int[Tensor, "dimensions levels samples"], geometry: GridGeometry
) -> list[tuple[Int[Tensor, "levels samples"], Int[Tensor, "levels samples"]]]:
    """What the lower and the upper corner of every axis bring to an index. int32 wraps as uint32 does."""
    terms = []
    for axis in range(geometry.dimensions):
        factors = [
            PRIMES[axis] - (PRIMES[axis] >> 31 << 32) if hashed else strides[axis]
            for hashed, strides in zip(geometry.hashed, geometry.strides, strict=True)
        ]
        factor = _column(factors, torch.int32, cell.device)
        lower = cell[axis] * factor
        terms.append((lower, lower + factor))
    return terms


def _entries(terms: list[Int[Tensor, "levels samples"]], geometry: GridGeometry) -> Int[Tensor, "levels samples"]:
    """Rows of the table that hold one corner of every cell. Resolutions grow, so hashed levels come last."""
    num_dense = geometry.hashed.count(False)
    dense = functools.reduce(torch.add, [term[:num_dense] for term in terms])
    hashed = functools.reduce(torch.bitwise_xor, [term[num_dense:] for term in terms])
    index = torch.cat([dense, hashed])
    index &= _column(geometry.masks, torch.int32, index.device)
    index += _column(geometry.offsets[:-1], torch.int32, index.device)
    return index


class _Lookup(torch.autograd.Function):
    """Rows of a table. PyTorch's own backwards are 4 to 10 times slower than `bincount` on a CPU."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.num_entries = table.shape[0]
        return table.index_select(0, index.flatten()).view(*index.shape, table.shape[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        index, grad = index.flatten(), grad.flatten(0, -2)
        if grad.device.type != "cpu":
            return grad.new_zeros(ctx.num_entries, grad.shape[1]).index_add_(0, index, grad), None
        columns = [
            torch.bincount(index, weights=column, minlength=ctx.num_entries).to(grad.dtype) for column in grad.unbind(1)
        ]
        return torch.stack(columns, dim=1), None
