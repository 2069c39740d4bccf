"""The fused renderer on the GPU: a program draws a tile of 8 x 8 pixels from the first lattice position to the last.

Rays of a tile advance together. In every round each ray that still lets light through walks to its next occupied
position; the tile of up to 64 points is encoded plane by plane into 16 columns, each of which enters the first layers
of all decoders as one slice of their matrix products; the rest of the decoders follows, and the colours are composited.
Nothing but the totals is written. A tile ends when none of its rays has anything left to see.

Matrix products take float16 and add up in float32; densities, colours and transmittance are float32. Walking rounds as
the definition does, so that both place the same samples.
"""

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from ns_talking.kernels.composite_rays import MIN_TRANSMITTANCE
from ns_talking.kernels.front_to_back import RayTotals
from ns_talking.kernels.march_rays import MIN_NEAR
from ns_talking.kernels.region_gate import TINY
from ns_talking.kernels.render_triplane import MAX_PLANE_FEATURES, MIDDLE, FoldedTriplane
from ns_talking.kernels.triplane_encoding import PLANES
from ns_talking.kernels.triton.composite_rays import opacity
from ns_talking.kernels.triton.hash_encoding import find_cells, find_corner, level_sizes
from ns_talking.kernels.triton.launch import INTERPRETED, launch, power_of_two
from ns_talking.kernels.triton.march_rays import is_occupied, load_grid, load_rays
from ns_talking.kernels.triton.spherical_harmonics import harmonic

_SIDE = 16 if INTERPRETED else 8
_CHANNELS = 5


@torch.no_grad()
def render_triplane(
    origins: Tensor,
    directions: Tensor,
    bounds: Tensor,
    occupancy: Tensor,
    field: FoldedTriplane,
    step: float,
    max_samples: int,
    picture_width: int = 0,
) -> RayTotals:
    """See `ns_talking.kernels.render_triplane.render_triplane`.

    Raises:
        ValueError: The planes have more features than a tile has columns.
    """
    check_fits(field)
    num_rays, device = len(origins), origins.device
    totals = RayTotals(
        transmittance=torch.empty(num_rays, device=device),
        values=torch.empty(num_rays, _CHANNELS, device=device),
        depth=torch.empty(num_rays, device=device),
    )
    tiled = picture_width > 0 and picture_width % _SIDE == 0 and num_rays % (picture_width * _SIDE) == 0
    matrices, widths = _matrices(field)
    launch(
        _render,
        (triton.cdiv(num_rays, _SIDE * _SIDE),),
        origins.float().contiguous(),
        directions.float().contiguous(),
        bounds.float().contiguous(),
        occupancy.contiguous().view(torch.uint8),
        field.tables.half().contiguous(),
        *level_sizes(field.geometry, PLANES, device)[1:],
        *matrices,
        totals.transmittance,
        totals.values,
        totals.depth,
        step,
        num_rays,
        max_samples,
        picture_width,
        *occupancy.shape,
        field.geometry.num_entries,
        field.max_log_density,
        field.colour_margin,
        NUM_LEVELS=field.geometry.num_levels,
        NUM_FEATURES=field.geometry.features_per_level,
        SLICE=MAX_PLANE_FEATURES,
        **widths,
        CHANNELS=_CHANNELS,
        MIN_NEAR=MIN_NEAR,
        MIDDLE=MIDDLE,
        MIN_TRANSMITTANCE=MIN_TRANSMITTANCE,
        TINY=TINY,
        TILED=tiled,
        SIDE=_SIDE,
        num_warps=4,
        num_stages=1,
        enable_fp_fusion=False,
    )
    return totals


def check_fits(field: FoldedTriplane) -> None:
    """Refuse a field that the kernel has no tile for.

    Raises:
        ValueError: The planes have more features than a tile has columns.
    """
    if field.geometry.output_dim > MAX_PLANE_FEATURES:
        raise ValueError(
            f"The fused renderer takes up to {MAX_PLANE_FEATURES} features per plane, found "
            f"{field.geometry.output_dim}."
        )


def _matrices(field: FoldedTriplane) -> tuple[list[Tensor], dict[str, int]]:
    """Matrices as the right sides of products, padded with zeros to powers of two, and the widths they have then."""
    widths = {
        "ATTENTION": _width(field.attention),
        "EYE": _width(field.eye),
        "HIDDEN": _width(field.density),
        "SECOND": _width(field.hidden),
        "SHADE": _width(field.colour),
        "CODE": _width(field.strength),
    }
    attention, eye, hidden, second, shade, code = widths.values()
    matrices = [
        _slices(field.attention, attention),
        _slices(field.eye, eye),
        _slices(field.density, hidden),
        _transposed(field.density_of_attention, attention, hidden),
        _transposed(field.strength, attention, code),
        _transposed(field.hidden, hidden, second),
        _transposed(field.colour, second, shade),
        _transposed(field.direction, MAX_PLANE_FEATURES, shade),
        _vector(field.eye_out, eye),
        _vector(field.density_of_eye, hidden),
        _vector(field.log_density, second),
        F.pad(field.colour_out, (0, shade - field.colour_out.shape[1])).float().contiguous(),
    ]
    return matrices, widths


def _width(matrix: Tensor) -> int:
    return max(power_of_two(matrix.shape[0]), 16)


def _slices(matrix: Tensor, columns: int) -> Tensor:
    """A matrix over the features of three planes as three slices."""
    planes = matrix.T.reshape(3, -1, matrix.shape[0])
    return F.pad(planes, (0, columns - planes.shape[2], 0, MAX_PLANE_FEATURES - planes.shape[1])).half().contiguous()


def _transposed(matrix: Tensor, rows: int, columns: int) -> Tensor:
    return F.pad(matrix.T, (0, columns - matrix.shape[0], 0, rows - matrix.shape[1])).half().contiguous()


def _vector(values: Tensor, size: int) -> Tensor:
    return F.pad(values, (0, size - len(values))).float().contiguous()


@triton.jit
def _matrix(matrix, zero, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Load a matrix; `zero` is 0, which the compiler must not know, or it would keep all matrices in registers."""
    return tl.load(matrix + zero * 16 + tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :])


@triton.jit
def _sliced(xy, yz, xz, matrix, zero, SLICE: tl.constexpr, COLUMNS: tl.constexpr):
    """Features of three planes times a matrix, one slice per plane."""
    SIZE: tl.constexpr = SLICE * COLUMNS
    total = tl.dot(xy, _matrix(matrix, zero, SLICE, COLUMNS))
    total = tl.dot(yz, _matrix(matrix + SIZE, zero, SLICE, COLUMNS), total)
    return tl.dot(xz, _matrix(matrix + 2 * SIZE, zero, SLICE, COLUMNS), total)


@triton.jit
def _activated(values):
    """ReLU, cut where float16 ends."""
    return tl.minimum(tl.maximum(values, 0.0), 65504.0).to(tl.float16)


@triton.jit
def _projected(values, vector, SIZE: tl.constexpr):
    """Rectified values, multiplied with a vector in float32."""
    return tl.sum(tl.maximum(values, 0.0) * tl.load(vector + tl.arange(0, SIZE))[None, :], axis=1)


@triton.jit
def _plane(
    u,
    v,
    table,
    scales,
    offsets,
    masks,
    hashed,
    factors,
    exists,
    NUM_LEVELS: tl.constexpr,
    NUM_FEATURES: tl.constexpr,
    SLICE: tl.constexpr,
):
    """Features of one plane."""
    x, y, z, u, v, w, fx, fy, fz, is_hashed, mask, offset, wanted = find_cells(
        u, v, v, scales, offsets, masks, hashed, factors, NUM_LEVELS, NUM_FEATURES, SLICE, 2
    )
    wanted = wanted & exists[:, None]
    feature = tl.arange(0, SLICE) % NUM_FEATURES
    total = tl.zeros(wanted.shape, tl.float32)
    for CORNER in tl.static_range(4):
        entry, weight_x, weight_y, weight_z = find_corner(
            x, y, z, u, v, w, fx, fy, fz, is_hashed, mask, offset, CORNER, 2
        )
        value = tl.load(table + entry * NUM_FEATURES + feature[None, :], mask=wanted, other=0.0)
        total += weight_x * weight_y * value.to(tl.float32)
    return tl.where(wanted, total, 0.0).to(tl.float16)


@triton.jit
def _normalised(origin, direction, t, bounds, AXIS: tl.constexpr):
    """Coordinate along one axis in the cube of the planes, [0, 1]."""
    low, high = tl.load(bounds + AXIS), tl.load(bounds + 3 + AXIS)
    share = (origin + t * direction - low) / (high - low)
    return (low + tl.minimum(tl.maximum(share, 0.0), 1.0) * (high - low) + 1) * 0.5


@triton.jit
def _render(
    origins,
    directions,
    bounds,
    occupancy,
    tables,
    scales,
    offsets,
    masks,
    hashed,
    factors,
    attention_in,
    eye_in,
    density_in,
    attention_to_density,
    strength_out,
    hidden_layer,
    colour_layer,
    direction_layer,
    eye_out,
    eye_to_density,
    log_density,
    colour_out,
    transmittances,
    values,
    depths,
    step,
    num_rays,
    max_samples,
    picture_width,
    width,
    depth,
    height,
    num_entries,
    max_log_density,
    margin,
    NUM_LEVELS: tl.constexpr,
    NUM_FEATURES: tl.constexpr,
    SLICE: tl.constexpr,
    ATTENTION: tl.constexpr,
    EYE: tl.constexpr,
    HIDDEN: tl.constexpr,
    SECOND: tl.constexpr,
    SHADE: tl.constexpr,
    CODE: tl.constexpr,
    CHANNELS: tl.constexpr,
    MIN_NEAR: tl.constexpr,
    MIDDLE: tl.constexpr,
    MIN_TRANSMITTANCE: tl.constexpr,
    TINY: tl.constexpr,
    TILED: tl.constexpr,
    SIDE: tl.constexpr,
):
    RAYS: tl.constexpr = SIDE * SIDE
    program = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, RAYS)
    rays = program * RAYS + place
    if TILED:
        tiles = picture_width // SIDE
        row = (program // tiles) * SIDE + place // SIDE
        rays = row * picture_width + (program % tiles) * SIDE + place % SIDE
    exists = rays < num_rays
    origin_x, origin_y, origin_z, direction_x, direction_y, direction_z, near, far, walks = load_rays(
        origins, directions, bounds, rays, exists, MIN_NEAR
    )
    harmonics = tl.zeros([RAYS, SLICE], tl.float32)
    for INDEX in tl.static_range(SLICE):
        component = harmonic(direction_x, direction_y, direction_z, INDEX)
        harmonics += tl.where((tl.arange(0, SLICE) == INDEX)[None, :], component[:, None], 0.0)
    harmonics = harmonics.to(tl.float16)

    low_x, low_y, low_z, scale_x, scale_y, scale_z = load_grid(bounds, width, depth, height)
    light = tl.zeros([RAYS], tl.float32) + 1.0
    red = tl.zeros([RAYS], tl.float32)
    green = tl.zeros([RAYS], tl.float32)
    blue = tl.zeros([RAYS], tl.float32)
    heard = tl.zeros([RAYS], tl.float32)
    seen = tl.zeros([RAYS], tl.float32)
    distance = tl.zeros([RAYS], tl.float32)
    t = tl.zeros([RAYS], tl.float32)
    count = tl.zeros([RAYS], tl.int32)
    k = tl.zeros([RAYS], tl.int32)
    anything = tl.max(walks.to(tl.int32), axis=0)
    while anything > 0:
        zero = anything - 1
        searches = walks
        while tl.max(searches.to(tl.int32), axis=0) > 0:
            # Asking all threads whether they are done costs more than a few steps.
            for _ in tl.static_range(4):
                here = near + (k.to(tl.float32) + MIDDLE) * step
                walks = walks & ((here < far) | (searches == 0))
                searches = searches & (here < far)
                x, y, z = origin_x + here * direction_x, origin_y + here * direction_y, origin_z + here * direction_z
                found = is_occupied(
                    occupancy, x, y, z, low_x, low_y, low_z, scale_x, scale_y, scale_z, width, depth, height, searches
                )
                t = tl.where(found, here, t)
                k += searches.to(tl.int32)
                searches = searches & (found == 0)

        x = _normalised(origin_x, direction_x, t, bounds, 0)
        y = _normalised(origin_y, direction_y, t, bounds, 1)
        z = _normalised(origin_z, direction_z, t, bounds, 2)
        # All planes first: their products' sums would take the registers that looking up needs.
        plane = num_entries.to(tl.int64) * NUM_FEATURES
        xy = _plane(x, y, tables, scales, offsets, masks, hashed, factors, walks, NUM_LEVELS, NUM_FEATURES, SLICE)
        yz = _plane(
            y, z, tables + plane, scales, offsets, masks, hashed, factors, walks, NUM_LEVELS, NUM_FEATURES, SLICE
        )
        xz = _plane(
            x, z, tables + 2 * plane, scales, offsets, masks, hashed, factors, walks, NUM_LEVELS, NUM_FEATURES, SLICE
        )
        listening = _activated(_sliced(xy, yz, xz, attention_in, zero, SLICE, ATTENTION))
        strength = tl.dot(listening, _matrix(strength_out, zero, ATTENTION, CODE))
        strength = tl.sqrt(tl.sum(strength * strength, axis=1) + TINY)
        eye = _projected(_sliced(xy, yz, xz, eye_in, zero, SLICE, EYE), eye_out, EYE)
        opened = 1 / (1 + tl.exp(-eye))
        inner = _sliced(xy, yz, xz, density_in, zero, SLICE, HIDDEN)
        inner = tl.dot(listening, _matrix(attention_to_density, zero, ATTENTION, HIDDEN), inner)
        inner += opened[:, None] * tl.load(eye_to_density + tl.arange(0, HIDDEN))[None, :]
        second = tl.dot(_activated(inner), _matrix(hidden_layer, zero, HIDDEN, SECOND))
        density = tl.exp(tl.minimum(_projected(second, log_density, SECOND), max_log_density))
        shade = tl.dot(harmonics, _matrix(direction_layer, zero, SLICE, SHADE))
        shade = tl.dot(_activated(second), _matrix(colour_layer, zero, SECOND, SHADE), shade)

        optical_depth = density * step
        weight = tl.where(walks, light * opacity(optical_depth), 0.0)
        light = tl.where(walks, light * tl.exp(-optical_depth), light)
        stretch = 1 + 2 * margin
        red += weight * (stretch / (1 + tl.exp(-_projected(shade, colour_out, SHADE))) - margin)
        green += weight * (stretch / (1 + tl.exp(-_projected(shade, colour_out + SHADE, SHADE))) - margin)
        blue += weight * (stretch / (1 + tl.exp(-_projected(shade, colour_out + 2 * SHADE, SHADE))) - margin)
        heard += weight * strength
        seen += weight * opened
        distance += weight * t
        count += walks.to(tl.int32)
        walks = walks & (count < max_samples) & (light >= MIN_TRANSMITTANCE)
        anything = tl.max(walks.to(tl.int32), axis=0)
    tl.store(transmittances + rays, light, mask=exists)
    tl.store(depths + rays, distance, mask=exists)
    tl.store(values + rays * CHANNELS, red, mask=exists)
    tl.store(values + rays * CHANNELS + 1, green, mask=exists)
    tl.store(values + rays * CHANNELS + 2, blue, mask=exists)
    tl.store(values + rays * CHANNELS + 3, heard, mask=exists)
    tl.store(values + rays * CHANNELS + 4, seen, mask=exists)
