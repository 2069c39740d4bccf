"""Grid encoding on the GPU, for any number of grids that look at the same points.

A *grid* is a table and the axes of the points that it sees, as in the CPU twin. A program encodes a tile of points by
all levels of one grid: a column of the tile is one feature of one level, so that the levels' sizes are one vector and
ER-NeRF's 12 levels make tiles of 64 points by 16 columns. Larger tiles than that do not fit into the registers.

The gradient of the tables is scattered with atomic additions. Where the result must not depend on their order, they
add integers instead: contributions are multiples of a power of two that is chosen from the largest gradient such that
no sum can overflow 63 bits, which leaves them more digits than a float32 has.
"""

import functools

import torch
import triton
import triton.language as tl
from torch import Tensor

from ns_talking.kernels.grid_geometry import PRIMES, GridGeometry
from ns_talking.kernels.hash_encoding import check_grid
from ns_talking.kernels.triton.launch import block_size, deterministic, launch, power_of_two

_TILE = {2: 1024, 3: 512}
"""Features that a program works on at once, by the number of dimensions."""
_SUM_BITS = 62


def hash_encoding(points: Tensor, table: Tensor, geometry: GridGeometry) -> Tensor:
    """See `ns_talking.kernels.hash_encoding.hash_encoding`."""
    check_grid(points, table, geometry)
    return encode(points, table[None], geometry, (tuple(range(geometry.dimensions)),))


def encode(points: Tensor, tables: Tensor, geometry: GridGeometry, axes: tuple[tuple[int, ...], ...]) -> Tensor:
    """Encode points with several grids of one geometry; the features of the grids lie side by side.

    Features are float32, and float16 where autocast asks for float16: their reader would round them anyway.
    """
    device = points.device.type
    halved = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
    return _Encode.apply(points.float(), tables.float(), geometry, axes, torch.float16 if halved else torch.float32)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, points, tables, geometry, axes, dtype):
        points, tables = points.contiguous(), tables.contiguous()
        ctx.save_for_backward(points, tables)
        ctx.geometry, ctx.axes = geometry, axes
        features = torch.empty(len(points), len(axes) * geometry.output_dim, dtype=dtype, device=points.device)
        _run(_encode, len(axes), points, tables, features, geometry, axes)
        return features

    @staticmethod
    def backward(ctx, grad):
        points, tables = ctx.saved_tensors
        grad = grad.contiguous()
        grad_points = grad_tables = None
        if ctx.needs_input_grad[0]:
            grad_points = torch.empty_like(points)
            _run(_encode_points, 1, points, tables, grad, ctx.geometry, ctx.axes, grad_points, NUM_GRIDS=len(ctx.axes))
        if ctx.needs_input_grad[1]:
            grad_tables = _grad_tables(points, tables, grad, ctx.geometry, ctx.axes)
        return grad_points, grad_tables, None, None, None


def _grad_tables(
    points: Tensor, tables: Tensor, grad: Tensor, geometry: GridGeometry, axes: tuple[tuple[int, ...], ...]
) -> Tensor:
    if not deterministic():
        sums = torch.zeros_like(tables)
        _run(_encode_tables, len(axes), points, sums, grad, geometry, axes, sums, FIXED_POINT=False)
        return sums
    largest = grad.abs().amax().double() if grad.numel() else torch.ones((), dtype=torch.float64, device=grad.device)
    num_terms = max(len(points), 1) << geometry.dimensions
    exponent = _SUM_BITS - num_terms.bit_length() - torch.frexp(largest).exponent
    unit = torch.ldexp(torch.ones_like(largest), exponent.clamp(max=126)).float()
    sums = torch.zeros_like(tables, dtype=torch.int64)
    _run(_encode_tables, len(axes), points, sums, grad, geometry, axes, unit, FIXED_POINT=True)
    # A gradient that overflowed float16 must stay visible to the gradient scaler.
    return torch.where(largest.isfinite(), (sums.double() / unit).float(), torch.nan)


def _run(kernel, num_grids, points, tables, columns, geometry, axes, extra=None, **constants) -> None:
    num_points, columns_used = len(points), power_of_two(geometry.output_dim)
    block = block_size(num_points, max(_TILE[geometry.dimensions] // columns_used, 1))
    launch(
        kernel,
        (triton.cdiv(num_points, block), num_grids),
        points,
        tables,
        columns,
        *([] if extra is None else [extra]),
        *level_sizes(geometry, axes, points.device),
        num_points,
        geometry.num_entries,
        POINT_DIM=points.shape[1],
        DIMENSIONS=geometry.dimensions,
        NUM_LEVELS=geometry.num_levels,
        NUM_FEATURES=geometry.features_per_level,
        COLUMNS=columns_used,
        BLOCK=block,
        num_warps=4,
        **constants,
    )


@functools.lru_cache(maxsize=64)
def level_sizes(geometry: GridGeometry, axes: tuple[tuple[int, ...], ...], device: torch.device) -> tuple[Tensor, ...]:
    """Axes of every grid, and scale, offset, mask, kind and index factors of every level."""
    factors = [
        [
            PRIMES[axis] - (PRIMES[axis] >> 31 << 32) if hashed else stride
            for axis, stride in enumerate((*strides, 0)[:3])
        ]
        for hashed, strides in zip(geometry.hashed, geometry.strides, strict=True)
    ]

    def tensor(values, dtype=torch.int32) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    # They outlive the first caller, who may be rendering without gradients.
    with torch.inference_mode(False):
        return (
            tensor([(*grid_axes, 0)[:3] for grid_axes in axes]),
            tensor(geometry.scales, torch.float32),
            tensor(geometry.offsets[:-1]),
            tensor(geometry.masks),
            tensor(geometry.hashed),
            tensor(factors),
        )


@triton.jit
def _load_points(points, axes, grid, rows, exists, POINT_DIM: tl.constexpr, DIMENSIONS: tl.constexpr):
    """Coordinates of points as one grid sees them."""
    u = tl.load(points + rows * POINT_DIM + tl.load(axes + grid * 3), mask=exists, other=-1.0)
    v = tl.load(points + rows * POINT_DIM + tl.load(axes + grid * 3 + 1), mask=exists, other=-1.0)
    w = v
    if DIMENSIONS == 3:
        w = tl.load(points + rows * POINT_DIM + tl.load(axes + grid * 3 + 2), mask=exists, other=-1.0)
    return u, v, w


@triton.jit
def _place(u, scale):
    """Lower corner and place within the cell along one axis, at every level, and which points lie inside."""
    inside = (u >= 0) & (u <= 1)
    position = tl.where(inside, u, 0.5)[:, None] * scale[None, :] + 0.5
    lower = position.to(tl.int32)
    return lower.to(tl.uint32), position - lower.to(tl.float32), inside


@triton.jit
def find_cells(
    u,
    v,
    w,
    scales,
    offsets,
    masks,
    hashed,
    factors,
    NUM_LEVELS: tl.constexpr,
    NUM_FEATURES: tl.constexpr,
    COLUMNS: tl.constexpr,
    DIMENSIONS: tl.constexpr,
):
    """The cell of every point at the level of every column, and what it takes to find the entries of its corners."""
    column = tl.arange(0, COLUMNS)
    used = column < NUM_LEVELS * NUM_FEATURES
    level = column // NUM_FEATURES
    scale = tl.load(scales + level, mask=used, other=1.0)
    x, u, inside = _place(u, scale)
    y, v, inside_y = _place(v, scale)
    z, w, inside_z = _place(w, scale)
    factor_x = tl.load(factors + level * 3, mask=used, other=0).to(tl.uint32, bitcast=True)
    factor_y = tl.load(factors + level * 3 + 1, mask=used, other=0).to(tl.uint32, bitcast=True)
    factor_z = tl.load(factors + level * 3 + 2, mask=used, other=0).to(tl.uint32, bitcast=True)
    is_hashed = tl.load(hashed + level, mask=used, other=0) != 0
    mask = tl.load(masks + level, mask=used, other=0).to(tl.uint32, bitcast=True)
    offset = tl.load(offsets + level, mask=used, other=0)
    wanted = (inside & inside_y & inside_z)[:, None] & used[None, :]
    return x, y, z, u, v, w, factor_x, factor_y, factor_z, is_hashed, mask, offset, wanted


@triton.jit
def find_corner(
    x,
    y,
    z,
    u,
    v,
    w,
    factor_x,
    factor_y,
    factor_z,
    is_hashed,
    mask,
    offset,
    CORNER: tl.constexpr,
    DIMENSIONS: tl.constexpr,
):
    """Entry of one corner of every cell, and its weight along each axis."""
    X: tl.constexpr = CORNER & 1
    Y: tl.constexpr = CORNER >> 1 & 1
    Z: tl.constexpr = CORNER >> 2 & 1
    along_x = (x + X) * factor_x[None, :]
    along_y = (y + Y) * factor_y[None, :]
    summed = along_x + along_y
    mixed = along_x ^ along_y
    weight_x = u if X else 1 - u
    weight_y = v if Y else 1 - v
    weight_z = w
    if DIMENSIONS == 3:
        along_z = (z + Z) * factor_z[None, :]
        summed += along_z
        mixed = mixed ^ along_z
        weight_z = w if Z else 1 - w
    index = tl.where(is_hashed[None, :], mixed, summed) & mask[None, :]
    return index.to(tl.int64) + offset[None, :], weight_x, weight_y, weight_z


@triton.jit
def _encode(
    points,
    tables,
    features,
    axes,
    scales,
    offsets,
    masks,
    hashed,
    factors,
    num_points,
    num_entries,
    POINT_DIM: tl.constexpr,
    DIMENSIONS: tl.constexpr,
    NUM_LEVELS: tl.constexpr,
    NUM_FEATURES: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    grid = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = rows < num_points
    column = tl.arange(0, COLUMNS)
    used = column < NUM_LEVELS * NUM_FEATURES
    feature = column % NUM_FEATURES
    u, v, w = _load_points(points, axes, grid, rows, exists, POINT_DIM, DIMENSIONS)
    x, y, z, u, v, w, fx, fy, fz, is_hashed, mask, offset, wanted = find_cells(
        u, v, w, scales, offsets, masks, hashed, factors, NUM_LEVELS, NUM_FEATURES, COLUMNS, DIMENSIONS
    )
    start = tables + grid * num_entries * NUM_FEATURES
    total = tl.zeros([BLOCK, COLUMNS], tl.float32)
    for CORNER in tl.static_range(1 << DIMENSIONS):
        entry, weight_x, weight_y, weight_z = find_corner(
            x, y, z, u, v, w, fx, fy, fz, is_hashed, mask, offset, CORNER, DIMENSIONS
        )
        weight = weight_x * weight_y
        if DIMENSIONS == 3:
            weight *= weight_z
        total += weight * tl.load(start + entry * NUM_FEATURES + feature[None, :], mask=wanted, other=0.0)
    out = rows[:, None] * (tl.num_programs(1) * NUM_LEVELS * NUM_FEATURES) + grid * (NUM_LEVELS * NUM_FEATURES)
    tl.store(
        features + out + column[None, :],
        tl.where(wanted, total, 0.0).to(features.dtype.element_ty),
        mask=exists[:, None] & used[None, :],
    )


@triton.jit
def _encode_tables(
    points,
    sums,
    grad,
    unit,
    axes,
    scales,
    offsets,
    masks,
    hashed,
    factors,
    num_points,
    num_entries,
    POINT_DIM: tl.constexpr,
    DIMENSIONS: tl.constexpr,
    NUM_LEVELS: tl.constexpr,
    NUM_FEATURES: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
    FIXED_POINT: tl.constexpr,
):
    grid = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = rows < num_points
    column = tl.arange(0, COLUMNS)
    feature = column % NUM_FEATURES
    u, v, w = _load_points(points, axes, grid, rows, exists, POINT_DIM, DIMENSIONS)
    x, y, z, u, v, w, fx, fy, fz, is_hashed, mask, offset, wanted = find_cells(
        u, v, w, scales, offsets, masks, hashed, factors, NUM_LEVELS, NUM_FEATURES, COLUMNS, DIMENSIONS
    )
    at = rows[:, None] * (tl.num_programs(1) * NUM_LEVELS * NUM_FEATURES) + grid * (NUM_LEVELS * NUM_FEATURES)
    slope = tl.load(grad + at + column[None, :], mask=wanted, other=0.0).to(tl.float32)
    if FIXED_POINT:
        slope *= tl.load(unit)
    start = sums + grid * num_entries * NUM_FEATURES
    for CORNER in tl.static_range(1 << DIMENSIONS):
        entry, weight_x, weight_y, weight_z = find_corner(
            x, y, z, u, v, w, fx, fy, fz, is_hashed, mask, offset, CORNER, DIMENSIONS
        )
        weight = weight_x * weight_y
        if DIMENSIONS == 3:
            weight *= weight_z
        term = weight * slope
        if FIXED_POINT:
            term = term.to(tl.int64)
        tl.atomic_add(start + entry * NUM_FEATURES + feature[None, :], term, mask=wanted, sem="relaxed")


@triton.jit
def _encode_points(
    points,
    tables,
    grad,
    grad_points,
    axes,
    scales,
    offsets,
    masks,
    hashed,
    factors,
    num_points,
    num_entries,
    POINT_DIM: tl.constexpr,
    DIMENSIONS: tl.constexpr,
    NUM_LEVELS: tl.constexpr,
    NUM_FEATURES: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
    NUM_GRIDS: tl.constexpr,
):
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = rows < num_points
    column = tl.arange(0, COLUMNS)
    used = column < NUM_LEVELS * NUM_FEATURES
    feature = column % NUM_FEATURES
    coordinate = tl.arange(0, 4)
    total = tl.zeros([BLOCK, 4], tl.float32)
    for grid in tl.static_range(NUM_GRIDS):
        u, v, w = _load_points(points, axes, grid, rows, exists, POINT_DIM, DIMENSIONS)
        x, y, z, u, v, w, fx, fy, fz, is_hashed, mask, offset, wanted = find_cells(
            u, v, w, scales, offsets, masks, hashed, factors, NUM_LEVELS, NUM_FEATURES, COLUMNS, DIMENSIONS
        )
        at = rows[:, None] * (NUM_GRIDS * NUM_LEVELS * NUM_FEATURES) + grid * (NUM_LEVELS * NUM_FEATURES)
        slope = tl.load(grad + at + column[None, :], mask=wanted, other=0.0).to(tl.float32)
        slope *= tl.load(scales + column // NUM_FEATURES, mask=used, other=0.0)[None, :]
        start = tables + num_entries.to(tl.int64) * (grid * NUM_FEATURES)
        along_x = tl.zeros([BLOCK, COLUMNS], tl.float32)
        along_y = tl.zeros([BLOCK, COLUMNS], tl.float32)
        along_z = tl.zeros([BLOCK, COLUMNS], tl.float32)
        for CORNER in tl.static_range(1 << DIMENSIONS):
            entry, weight_x, weight_y, weight_z = find_corner(
                x, y, z, u, v, w, fx, fy, fz, is_hashed, mask, offset, CORNER, DIMENSIONS
            )
            value = slope * tl.load(start + entry * NUM_FEATURES + feature[None, :], mask=wanted, other=0.0)
            sign_x = 2.0 * (CORNER & 1) - 1.0
            sign_y = 2.0 * (CORNER >> 1 & 1) - 1.0
            if DIMENSIONS == 3:
                sign_z = 2.0 * (CORNER >> 2 & 1) - 1.0
                along_x += sign_x * weight_y * weight_z * value
                along_y += sign_y * weight_x * weight_z * value
                along_z += sign_z * weight_x * weight_y * value
            else:
                along_x += sign_x * weight_y * value
                along_y += sign_y * weight_x * value
        total += tl.where(coordinate[None, :] == tl.load(axes + grid * 3), tl.sum(along_x, axis=1)[:, None], 0.0)
        total += tl.where(coordinate[None, :] == tl.load(axes + grid * 3 + 1), tl.sum(along_y, axis=1)[:, None], 0.0)
        if DIMENSIONS == 3:
            total += tl.where(
                coordinate[None, :] == tl.load(axes + grid * 3 + 2), tl.sum(along_z, axis=1)[:, None], 0.0
            )
    tl.store(
        grad_points + rows[:, None] * POINT_DIM + coordinate[None, :],
        total,
        mask=exists[:, None] & (coordinate < POINT_DIM)[None, :],
    )
