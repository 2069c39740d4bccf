"""Grid encoding on the CPU, for any number of grids that look at the same points.

A *grid* here is a table and the axes of the points that it sees: one grid with the axes (0, 1) or (0, 1, 2) for
`hash_encoding`, three with two axes each for the tri-plane. Points are worked on in blocks that fit into the first
cache: one loop, which compilers turn into vector instructions, finds the entries and the weights of all corners, a
second one gathers or scatters. Forward threads own blocks. Backward threads own whole levels, so no two of them write
one entry, no atomics are needed and results do not depend on the schedule.
"""

import functools

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ns_talking.kernels.grid_geometry import PRIMES, GridGeometry
from ns_talking.kernels.hash_encoding import check_grid
from ns_talking.kernels.numba.compiled import compiled, compiled_part

_BLOCK = 256
_PRIME_Y = np.uint32(PRIMES[1])
_PRIME_Z = np.uint32(PRIMES[2])
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)
_ZERO = np.float32(0.0)


def hash_encoding(points: Tensor, table: Tensor, geometry: GridGeometry) -> Tensor:
    """See `ns_talking.kernels.hash_encoding.hash_encoding`."""
    check_grid(points, table, geometry)
    return encode(points, table[None], geometry, (tuple(range(geometry.dimensions)),))


def encode(points: Tensor, tables: Tensor, geometry: GridGeometry, axes: tuple[tuple[int, ...], ...]) -> Tensor:
    """Encode points with several grids of one geometry; the features of the grids lie side by side."""
    return _Encode.apply(points.float(), tables.float(), geometry, axes)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, points: Tensor, tables: Tensor, geometry: GridGeometry, axes: tuple[tuple[int, ...], ...]):
        # One row per axis and per feature, so that loops over points read memory from end to end.
        points, tables = points.t().contiguous(), tables.contiguous()
        ctx.save_for_backward(points, tables)
        ctx.sizes = _sizes(geometry, axes)
        features = torch.empty(points.shape[1], len(axes) * geometry.output_dim)
        _encode(_array(points), _array(tables).reshape(-1), *ctx.sizes, features.numpy())
        return features

    @staticmethod
    def backward(ctx, grad: Tensor):
        points, tables = ctx.saved_tensors
        rows = _array(grad.t().contiguous())
        grad_points = grad_tables = None
        if ctx.needs_input_grad[1]:
            grad_tables = torch.empty(tables.shape)
            _encode_tables(_array(points), rows, *ctx.sizes, grad_tables.numpy().reshape(-1))
        if ctx.needs_input_grad[0]:
            grad_points = torch.empty(points.shape)
            _encode_points(_array(points), _array(tables).reshape(-1), rows, *ctx.sizes, grad_points.numpy())
            grad_points = grad_points.t()
        return grad_points, grad_tables, None, None


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().numpy()


@functools.lru_cache(maxsize=64)
def _sizes(geometry: GridGeometry, axes: tuple[tuple[int, ...], ...]) -> tuple[NDArray, ...]:
    strides = [(*stride, 0)[:3] for stride in geometry.strides]
    return (
        np.array([(*grid_axes, 0)[:3] for grid_axes in axes], dtype=np.int64),
        np.array([geometry.dimensions, geometry.features_per_level], dtype=np.int64),
        np.array(geometry.offsets, dtype=np.int64),
        np.array(geometry.scales, dtype=np.float32),
        np.array(geometry.masks, dtype=np.int32).view(np.uint32),
        np.array(strides, dtype=np.uint32),
        np.array(geometry.hashed, dtype=np.bool_),
    )


@compiled_part
def _load(points, first, count, axes, num_axes, position, inside):
    """Copy a block of points axis by axis; points outside move to the centre and are marked by inside = 0."""
    for i in range(count):
        inside[i] = _ONE
    for axis in range(num_axes):
        for i in range(count):
            u = points[axes[axis], first + i]
            if u >= _ZERO and u <= _ONE:
                position[axis, i] = u
            else:
                position[axis, i] = _HALF
                inside[i] = _ZERO


@compiled_part
def _corners_2d(xs, ys, count, scale, mask, strides, is_hashed, derivative, index, weight):
    """Entries and weights of the four corners; with `derivative` >= 0, the weights' derivatives along that axis."""
    stride_x, stride_y = strides[0], strides[1]
    for i in range(count):
        u, v = xs[i] * scale + _HALF, ys[i] * scale + _HALF
        x, y = np.int32(u), np.int32(v)
        u, v = u - np.float32(x), v - np.float32(y)
        if is_hashed:
            x0, x1 = np.uint32(x), np.uint32(x + 1)
            y0, y1 = np.uint32(np.uint32(y) * _PRIME_Y), np.uint32(np.uint32(y + 1) * _PRIME_Y)
            index[0, i], index[1, i] = (x0 ^ y0) & mask, (x1 ^ y0) & mask
            index[2, i], index[3, i] = (x0 ^ y1) & mask, (x1 ^ y1) & mask
        else:
            x0, x1 = np.uint32(np.uint32(x) * stride_x), np.uint32(np.uint32(x + 1) * stride_x)
            y0, y1 = np.uint32(np.uint32(y) * stride_y), np.uint32(np.uint32(y + 1) * stride_y)
            index[0, i], index[1, i] = np.uint32(x0 + y0) & mask, np.uint32(x1 + y0) & mask
            index[2, i], index[3, i] = np.uint32(x0 + y1) & mask, np.uint32(x1 + y1) & mask
        low_x, high_x = (-scale, scale) if derivative == 0 else (_ONE - u, u)
        low_y, high_y = (-scale, scale) if derivative == 1 else (_ONE - v, v)
        weight[0, i], weight[1, i], weight[2, i], weight[3, i] = (
            low_x * low_y,
            high_x * low_y,
            low_x * high_y,
            high_x * high_y,
        )


@compiled_part
def _corners_3d(xs, ys, zs, count, scale, mask, strides, is_hashed, derivative, index, weight):
    """Entries and weights of the eight corners; with `derivative` >= 0, the weights' derivatives along that axis."""
    _corners_2d(xs, ys, count, scale, np.uint32(0xFFFFFFFF), strides, is_hashed, derivative, index, weight)
    stride_z = strides[2]
    for corner in range(4):
        for i in range(count):
            w = zs[i] * scale + _HALF
            z = np.int32(w)
            w = w - np.float32(z)
            plane = np.uint32(index[corner, i])
            if is_hashed:
                z0, z1 = np.uint32(np.uint32(z) * _PRIME_Z), np.uint32(np.uint32(z + 1) * _PRIME_Z)
                index[corner, i], index[corner + 4, i] = (plane ^ z0) & mask, (plane ^ z1) & mask
            else:
                z0, z1 = np.uint32(np.uint32(z) * stride_z), np.uint32(np.uint32(z + 1) * stride_z)
                index[corner, i] = np.uint32(plane + z0) & mask
                index[corner + 4, i] = np.uint32(plane + z1) & mask
            low_z, high_z = (-scale, scale) if derivative == 2 else (_ONE - w, w)
            weight[corner + 4, i] = weight[corner, i] * high_z
            weight[corner, i] = weight[corner, i] * low_z


@compiled_part
def _corners(position, num_axes, num_features, count, scale, mask, strides, is_hashed, derivative, index, weight):
    x, y, z = position[0], position[1], position[2]
    if num_axes == 2:
        _corners_2d(x, y, count, scale, mask, strides, is_hashed, derivative, index, weight)
    else:
        _corners_3d(x, y, z, count, scale, mask, strides, is_hashed, derivative, index, weight)
    if num_features > 1:
        for corner in range(1 << num_axes):
            for i in range(count):
                index[corner, i] *= np.uint32(num_features)


@compiled
def _encode(points, tables, axes, dims, offsets, scales, masks, strides, hashed, features):
    num_points, num_grids, num_levels, num_axes, num_features = (
        points.shape[1],
        len(axes),
        len(scales),
        dims[0],
        dims[1],
    )
    for block in numba.prange((num_points + _BLOCK - 1) // _BLOCK):
        first = block * _BLOCK
        count = min(_BLOCK, num_points - first)
        position, inside = np.empty((3, _BLOCK), np.float32), np.empty(_BLOCK, np.float32)
        index, weight = np.empty((8, _BLOCK), np.uint32), np.empty((8, _BLOCK), np.float32)
        value = np.empty(_BLOCK, np.float32)
        for grid in range(num_grids):
            _load(points, first, count, axes[grid], num_axes, position, inside)
            for level in range(num_levels):
                _corners(
                    position,
                    num_axes,
                    num_features,
                    count,
                    scales[level],
                    masks[level],
                    strides[level],
                    hashed[level],
                    -1,
                    index,
                    weight,
                )
                start = (grid * offsets[num_levels] + offsets[level]) * num_features
                column = (grid * num_levels + level) * num_features
                for feature in range(num_features):
                    table = tables[start + feature :]
                    for i in range(count):
                        value[i] = weight[0, i] * table[np.uint64(index[0, i])]
                    for corner in range(1, 1 << num_axes):
                        for i in range(count):
                            value[i] += weight[corner, i] * table[np.uint64(index[corner, i])]
                    for i in range(count):
                        features[first + i, column + feature] = value[i] * inside[i]


@compiled
def _encode_tables(points, rows, axes, dims, offsets, scales, masks, strides, hashed, grad_tables):
    num_points, num_grids, num_levels, num_axes, num_features = (
        points.shape[1],
        len(axes),
        len(scales),
        dims[0],
        dims[1],
    )
    for owner in numba.prange(num_grids * num_levels):
        grid, level = owner // num_levels, owner % num_levels
        start = (grid * offsets[num_levels] + offsets[level]) * num_features
        stop = (grid * offsets[num_levels] + offsets[level + 1]) * num_features
        grad_tables[start:stop] = _ZERO
        position, inside = np.empty((3, _BLOCK), np.float32), np.empty(_BLOCK, np.float32)
        index, weight = np.empty((8, _BLOCK), np.uint32), np.empty((8, _BLOCK), np.float32)
        value = np.empty(_BLOCK, np.float32)
        for first in range(0, num_points, _BLOCK):
            count = min(_BLOCK, num_points - first)
            _load(points, first, count, axes[grid], num_axes, position, inside)
            _corners(
                position,
                num_axes,
                num_features,
                count,
                scales[level],
                masks[level],
                strides[level],
                hashed[level],
                -1,
                index,
                weight,
            )
            for feature in range(num_features):
                table = grad_tables[start + feature : stop]
                for i in range(count):
                    value[i] = rows[owner * num_features + feature, first + i] * inside[i]
                for corner in range(1 << num_axes):
                    for i in range(count):
                        table[np.uint64(index[corner, i])] += weight[corner, i] * value[i]


@compiled
def _encode_points(points, tables, rows, axes, dims, offsets, scales, masks, strides, hashed, grad_points):
    num_points, num_grids, num_levels, num_axes, num_features = (
        points.shape[1],
        len(axes),
        len(scales),
        dims[0],
        dims[1],
    )
    for block in numba.prange((num_points + _BLOCK - 1) // _BLOCK):
        first = block * _BLOCK
        count = min(_BLOCK, num_points - first)
        grad_points[:, first : first + count] = _ZERO
        position, inside = np.empty((3, _BLOCK), np.float32), np.empty(_BLOCK, np.float32)
        index, weight = np.empty((8, _BLOCK), np.uint32), np.empty((8, _BLOCK), np.float32)
        for grid in range(num_grids):
            _load(points, first, count, axes[grid], num_axes, position, inside)
            for level in range(num_levels):
                start = (grid * offsets[num_levels] + offsets[level]) * num_features
                column = (grid * num_levels + level) * num_features
                for axis in range(num_axes):
                    _corners(
                        position,
                        num_axes,
                        num_features,
                        count,
                        scales[level],
                        masks[level],
                        strides[level],
                        hashed[level],
                        axis,
                        index,
                        weight,
                    )
                    for feature in range(num_features):
                        table = tables[start + feature :]
                        for corner in range(1 << num_axes):
                            for i in range(count):
                                slope = weight[corner, i] * table[np.uint64(index[corner, i])]
                                grad_points[axes[grid, axis], first + i] += (
                                    slope * rows[column + feature, first + i] * inside[i]
                                )
