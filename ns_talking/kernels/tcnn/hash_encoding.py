"""Grid encoding through tiny-cuda-nn.

Parameters stay as `GridGeometry` lays them out, so checkpoints, optimizers and every other kernel know one layout; each
call gathers them into the library's, which is:

* levels one after the other, entries of a level one after the other, features of an entry side by side;
* a level with scale s has R = ceil(s) + 1 corners per axis, one less than here, and min(R^d rounded up to a multiple of
  8, 2^log2_hashmap_size) entries;
* where R^d corners fit, corner c is entry sum_a c_a R^a, which is gathered from the entry of the same corner here;
* where they do not, the hash is that of `GridGeometry` with "hash", and entries are taken one by one.

So features are the same within 1e-3 of the largest entry (scales are float32 there, which moves points by up to 4e-4 of
a cell of ER-NeRF's finest level), but for one strip: where a scale is whole, or has a fraction of a half or more, the
corners beyond the last cell do not exist there, and a level that stores every corner reads other ones in their place.
Of ER-NeRF's planes these are two of twelve levels, in the last 0.8 % of the box at three of its six faces.

Grids of the kind "tiled" whose corners share entries have no counterpart; our own kernels encode them.

Source:
    tiny-cuda-nn (Müller, 2021, BSD-3-Clause), version 1.7.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor, nn

from ns_talking.kernels.grid_geometry import PRIMES, GridGeometry
from ns_talking.kernels.hash_encoding import check_grid
from ns_talking.kernels.hash_encoding import hash_encoding as ours
from ns_talking.kernels.tcnn.library import asked_for_half, call, check_device, library, make
from ns_talking.utils.progress import CONSOLE

_FEATURES = (1, 2, 4, 8)


def hash_encoding(points: Tensor, table: Tensor, geometry: GridGeometry) -> Tensor:
    """See `ns_talking.kernels.hash_encoding.hash_encoding`."""
    check_grid(points, table, geometry)
    check_device(points)
    if (reason := obstacle(geometry)) is not None:
        _tell_once(reason)
        return ours(points, table, geometry)
    if not len(points):
        return ours.reference(points, table, geometry)
    inside = ((points >= 0) & (points <= 1)).all(dim=-1, keepdim=True)
    rows, module = _rows(geometry, points.device), _module(geometry, points.device)
    features = call(module, table.float().index_select(0, rows).flatten(), torch.where(inside, points, 0.5).float())
    features = features * inside
    return features.half() if asked_for_half(points) else features.float()


def obstacle(geometry: GridGeometry) -> str | None:
    """Say why tiny-cuda-nn has no such grid, or None where it has."""
    if geometry.kind == "tiled" and any(mask != -1 for mask in geometry.masks):
        return "a tiled grid whose corners share entries"
    if geometry.features_per_level not in _FEATURES:
        return f"{geometry.features_per_level} features per level"
    return None


def far_borders(geometry: GridGeometry) -> tuple[float, ...]:
    """Coordinate, for every level, from which on features are others than the definition's; 1 where there is none."""
    return tuple(
        min((math.ceil(scale) - 0.5) / scale, 1.0) if side**geometry.dimensions <= count else 1.0
        for scale, side, count in zip(geometry.scales, sides(geometry), entries(geometry), strict=True)
    )


def sides(geometry: GridGeometry) -> tuple[int, ...]:
    """Corners per axis of every level, as the library computes them, in float32."""
    growth = np.log2(np.float32(geometry.growth))
    scales = [
        np.exp2(np.float32(level) * growth) * np.float32(geometry.base_resolution) - np.float32(1)
        for level in range(geometry.num_levels)
    ]
    return tuple(math.ceil(scale) + 1 for scale in scales)


def entries(geometry: GridGeometry) -> tuple[int, ...]:
    """Entries of every level in the library's layout."""
    size = 1 << geometry.log2_table_size
    return tuple(min(-(-(side**geometry.dimensions) // 8) * 8, size) for side in sides(geometry))


def table_rows(geometry: GridGeometry) -> np.ndarray:
    """Row of our table for every entry of the library's. Entries that stand for no corner get some row."""
    parts = []
    for level, (side, count) in enumerate(zip(sides(geometry), entries(geometry), strict=True)):
        entry = np.arange(count)
        if side**geometry.dimensions <= count:
            corner = [np.minimum(entry // side**axis % side, side - 1) for axis in range(geometry.dimensions)]
            if geometry.hashed[level]:
                terms = [(axis * prime) & 0xFFFFFFFF for axis, prime in zip(corner, PRIMES, strict=False)]
                entry = functools.reduce(np.bitwise_xor, terms) & geometry.masks[level]
            else:
                entry = sum(axis * stride for axis, stride in zip(corner, geometry.strides[level], strict=True))
        parts.append(entry + geometry.offsets[level])
    return np.concatenate(parts)


@functools.lru_cache(maxsize=16)
def _rows(geometry: GridGeometry, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.from_numpy(table_rows(geometry)).to(device)


@functools.lru_cache(maxsize=16)
def _module(geometry: GridGeometry, device: torch.device) -> nn.Module:
    config = {
        "otype": "Grid",
        "type": "Hash",
        "n_levels": geometry.num_levels,
        "n_features_per_level": geometry.features_per_level,
        "log2_hashmap_size": geometry.log2_table_size,
        "base_resolution": geometry.base_resolution,
        "per_level_scale": geometry.growth,
        "interpolation": "Linear",
    }
    create = functools.partial(library().Encoding, geometry.dimensions, config, dtype=torch.float32)
    with torch.inference_mode(False):
        return make(create, sum(entries(geometry)) * geometry.features_per_level, device, "this grid")


@functools.cache
def _tell_once(reason: str) -> None:
    CONSOLE.print(f"[yellow]tiny-cuda-nn does not know {reason}; our own kernels encode that grid.[/yellow]")
