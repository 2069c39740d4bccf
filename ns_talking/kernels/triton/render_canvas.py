"""The fused torso on the GPU: a program draws 64 pixels, from their place to their colour.

The place is encoded into a tile of waves, which enters the first layers of the deformation and of the colour; the
shifted place is looked up in slices of 16 features, each of which enters the first layer of the colour as one step of a
matrix product. Nothing but the picture is written, and tiles that nothing is seen in end at once.

The deformation is computed in float32 (three products of TensorFloat-32 each): a shift that is rounded to float16
leaves the cells of the finest level. The colour takes float16 and adds up in float32.
"""

import math

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from ns_talking.kernels.render_canvas import MAX_LEVEL_FEATURES, FoldedCanvas
from ns_talking.kernels.triton.hash_encoding import find_cells, find_corner, level_sizes
from ns_talking.kernels.triton.launch import block_size, launch, power_of_two

_PIXELS = 64
_SLICE = MAX_LEVEL_FEATURES
"""Features that are looked up, and waves that are made, at a time."""


_PART = 32
"""Columns of the deformation's layers that are computed at a time; more would not fit into the registers."""


@torch.no_grad()
def render_canvas(pixels: Tensor, seen: Tensor, canvas: FoldedCanvas) -> Tensor:
    """See `ns_talking.kernels.render_canvas.render_canvas`.

    Raises:
        ValueError: A level has more features than a tile has columns.
    """
    geometry, num_pixels, device = canvas.geometry, len(pixels), pixels.device
    check_fits(canvas)
    block = max(block_size(num_pixels, _PIXELS), 16)
    values = torch.empty(num_pixels, 4, device=device)
    levels = _SLICE // geometry.features_per_level
    matrices, widths = _matrices(canvas, -(-geometry.num_levels // levels), levels)
    launch(
        _draw,
        (triton.cdiv(num_pixels, block),),
        pixels.float().contiguous(),
        seen.contiguous().view(torch.uint8),
        canvas.table.half().contiguous(),
        *level_sizes(geometry, ((0, 1),), device)[1:],
        *matrices,
        values,
        num_pixels,
        canvas.extent,
        canvas.margin,
        NUM_LEVELS=geometry.num_levels,
        NUM_FEATURES=geometry.features_per_level,
        LEVELS=levels,
        SLICE=_SLICE,
        PART=min(widths["DEFORMATION"], widths["SECOND"], _PART),
        **widths,
        HALF_PI=math.pi / 2,
        PIXELS=block,
        num_warps=4,
        num_stages=1,
    )
    return values


def check_fits(canvas: FoldedCanvas) -> None:
    """Refuse a canvas that the kernel has no tile for.

    Raises:
        ValueError: A level has more features than a tile has columns.
    """
    if canvas.geometry.features_per_level > _SLICE:
        raise ValueError(
            f"The fused torso takes up to {_SLICE} features per level, found {canvas.geometry.features_per_level}."
        )


def _matrices(canvas: FoldedCanvas, num_slices: int, levels: int) -> tuple[list[Tensor], dict[str, int]]:
    """Matrices as the right sides of products, padded with zeros to powers of two, and the widths they have then."""
    widths = {
        "WAVES": -(-4 * canvas.octaves // _SLICE) * _SLICE,
        "DEFORMATION": _width(canvas.deformation),
        "SECOND": _width(canvas.deformation_hidden),
        "INNER": _width(canvas.features),
        "SHADE": _width(canvas.hidden),
    }
    waves, deformation, second, inner, shade = widths.values()
    used = levels * canvas.geometry.features_per_level
    features = F.pad(canvas.features, (0, num_slices * used - canvas.features.shape[1]))
    slices = features.T.reshape(num_slices, used, -1)
    matrices = [
        _padded(canvas.deformation[:, :2].T, 2, deformation),
        _padded(canvas.deformation[:, 2:].T, waves, deformation),
        _padded(canvas.deformation_constant[None], 1, deformation),
        _padded(canvas.deformation_hidden.T, deformation, second),
        _padded(canvas.deformation_out, 2, second),
        F.pad(slices, (0, inner - slices.shape[2], 0, _SLICE - used)).half().contiguous(),
        _padded(canvas.place[:, :2].T, 2, inner),
        _padded(canvas.place[:, 2:].T, waves, inner).half(),
        _padded(canvas.constant[None], 1, inner),
        _padded(canvas.hidden.T, inner, shade).half(),
        _padded(canvas.out, 4, shade),
    ]
    return matrices, widths


def _width(matrix: Tensor) -> int:
    return max(power_of_two(matrix.shape[0]), 16)


def _padded(matrix: Tensor, rows: int, columns: int) -> Tensor:
    return F.pad(matrix, (0, columns - matrix.shape[1], 0, rows - matrix.shape[0])).float().contiguous()


@triton.jit
def _matrix(matrix, stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Load part of a matrix whose rows begin `stride` apart."""
    return tl.load(matrix + tl.arange(0, ROWS)[:, None] * stride + tl.arange(0, COLUMNS)[None, :])


@triton.jit
def _affine(row, column, matrix, constant, stride, SIZE: tl.constexpr):
    """What the place itself and the picture's constant bring to part of a first layer."""
    at = tl.arange(0, SIZE)
    of_row = row[:, None] * tl.load(matrix + at)[None, :]
    of_column = column[:, None] * tl.load(matrix + stride + at)[None, :]
    return of_row + of_column + tl.load(constant + at)[None, :]


@triton.jit
def _waves(row, column, FIRST: tl.constexpr, HALF_PI: tl.constexpr, SIZE: tl.constexpr):
    """Part of the waves that encode a place: for every octave the sines of row and column, then their cosines."""
    wave = FIRST + tl.arange(0, SIZE)
    octave = (1 << (wave // 4)).to(tl.float32)
    angles = tl.where((wave % 2 == 0)[None, :], row[:, None], column[:, None]) * octave[None, :]
    return tl.sin(angles + tl.where(wave % 4 < 2, 0.0, HALF_PI)[None, :])


@triton.jit
def _rectified(values):
    """ReLU, cut where float16 ends."""
    return tl.minimum(tl.maximum(values, 0.0), 65504.0)


@triton.jit
def _projected(values, vector, SIZE: tl.constexpr):
    """Rectified values, multiplied with a vector in float32."""
    return tl.sum(tl.maximum(values, 0.0) * tl.load(vector + tl.arange(0, SIZE))[None, :], axis=1)


@triton.jit
def _output(shade, vector, margin, SIZE: tl.constexpr):
    """One channel of the picture."""
    value = (1 + 2 * margin) / (1 + tl.exp(-_projected(shade, vector, SIZE))) - margin
    return tl.minimum(tl.maximum(value, 0.0), 1.0)


@triton.jit
def _draw(
    pixels,
    seen,
    table,
    scales,
    offsets,
    masks,
    hashed,
    factors,
    place_to_deformation,
    waves_to_deformation,
    deformation_constant,
    deformation_hidden,
    deformation_out,
    features_layer,
    place_to_colour,
    waves_to_colour,
    colour_constant,
    colour_hidden,
    colour_out,
    values,
    num_pixels,
    extent,
    margin,
    NUM_LEVELS: tl.constexpr,
    NUM_FEATURES: tl.constexpr,
    LEVELS: tl.constexpr,
    SLICE: tl.constexpr,
    PART: tl.constexpr,
    WAVES: tl.constexpr,
    DEFORMATION: tl.constexpr,
    SECOND: tl.constexpr,
    INNER: tl.constexpr,
    SHADE: tl.constexpr,
    HALF_PI: tl.constexpr,
    PIXELS: tl.constexpr,
):
    rays = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)
    exists = rays < num_pixels
    wanted = tl.load(seen + rays, mask=exists, other=0) != 0
    out = values + rays * 4
    if tl.max(wanted.to(tl.int32), axis=0) == 0:
        for CHANNEL in tl.static_range(4):
            tl.store(out + CHANNEL, tl.zeros([PIXELS], tl.float32), mask=exists)
    else:
        row = tl.load(pixels + rays * 2, mask=wanted, other=0.0) * extent
        column = tl.load(pixels + rays * 2 + 1, mask=wanted, other=0.0) * extent
        down, right = row, column
        for NEXT in range(0, SECOND, PART):
            moved = tl.zeros([PIXELS, PART], tl.float32)
            for AT in range(0, DEFORMATION, PART):
                first = _affine(row, column, place_to_deformation + AT, deformation_constant + AT, DEFORMATION, PART)
                for WAVE in tl.static_range(0, WAVES, SLICE):
                    waves = _waves(row, column, WAVE, HALF_PI, SLICE)
                    layer = _matrix(waves_to_deformation + WAVE * DEFORMATION + AT, DEFORMATION, SLICE, PART)
                    first = tl.dot(waves, layer, first, input_precision="tf32x3")
                layer = _matrix(deformation_hidden + AT * SECOND + NEXT, SECOND, PART, PART)
                moved = tl.dot(tl.maximum(first, 0.0), layer, moved, input_precision="tf32x3")
            down += _projected(moved, deformation_out + NEXT, PART)
            right += _projected(moved, deformation_out + SECOND + NEXT, PART)
        u = (tl.minimum(tl.maximum(down, -1.0), 1.0) + 1) * 0.5
        v = (tl.minimum(tl.maximum(right, -1.0), 1.0) + 1) * 0.5

        inner = _affine(row, column, place_to_colour, colour_constant, INNER, INNER)
        for WAVE in tl.static_range(0, WAVES, SLICE):
            waves = _waves(row, column, WAVE, HALF_PI, SLICE).to(tl.float16)
            inner = tl.dot(waves, _matrix(waves_to_colour + WAVE * INNER, INNER, SLICE, INNER), inner)
        feature = tl.arange(0, SLICE) % NUM_FEATURES
        for FIRST in tl.static_range(0, NUM_LEVELS, LEVELS):
            x, y, z, fu, fv, fw, fx, fy, fz, is_hashed, mask, offset, inside = find_cells(
                u,
                v,
                v,
                scales + FIRST,
                offsets + FIRST,
                masks + FIRST,
                hashed + FIRST,
                factors + FIRST * 3,
                # The last slice may have fewer.
                NUM_LEVELS - FIRST if FIRST + LEVELS > NUM_LEVELS else LEVELS,
                NUM_FEATURES,
                SLICE,
                2,
            )
            inside = inside & wanted[:, None]
            features = tl.zeros([PIXELS, SLICE], tl.float32)
            for CORNER in tl.static_range(4):
                entry, weight_u, weight_v, weight_w = find_corner(
                    x, y, z, fu, fv, fw, fx, fy, fz, is_hashed, mask, offset, CORNER, 2
                )
                value = tl.load(table + entry * NUM_FEATURES + feature[None, :], mask=inside, other=0.0)
                features += weight_u * weight_v * value.to(tl.float32)
            layer = features_layer + (FIRST // LEVELS) * (SLICE * INNER)
            inner = tl.dot(tl.where(inside, features, 0.0).to(tl.float16), _matrix(layer, INNER, SLICE, INNER), inner)
        shade = tl.dot(_rectified(inner).to(tl.float16), _matrix(colour_hidden, SHADE, INNER, SHADE))
        for CHANNEL in tl.static_range(4):
            value = _output(shade, colour_out + CHANNEL * SHADE, margin, SHADE)
            # Opacity comes first out of the network and last in the picture.
            tl.store(out + (CHANNEL + 3) % 4, tl.where(wanted, value, 0.0), mask=exists)
