"""The watermark: 32 bits in the pictures of a video, unseen, for when a video was encoded again and its manifest lost.

A tile of 32 x 32 cells, each a little brighter or darker, repeats over every frame of a video. It is the same in all
frames, so that codecs keep it with what stands still, any change of the frame rate leaves it alone, and whoever reads
it averages over time. The cells are a few pixels wide, so that half the size still shows them; on flat areas they are
fainter.

Source:
    Our design, of known parts: additive spread spectrum (Cox et al., 1997) in a periodic tile that survives cropping
    (Kutter, 1998), with the first-order Reed-Muller code of 128 chips, which Mariner 9 used with 32. Each of four
    bytes fills 128 chips, twice; a fixed pseudo-random sign per cell makes the tile noise to anything that is not it.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from ns_talking.provenance.masking import strength

CELLS = 32
"""Cells along the side of a tile."""
NUM_BITS = 32
_NUM_BYTES = 4
_CODE = 128
"""Chips of the code of one byte."""
_USUAL_CELL_PX, _SMALLEST_CELL_PX = 4.0, 2.0
_FEWEST_ACROSS = 64
CELLS_ACROSS = 128
"""Cells along the shorter side of a frame at most."""


def payload_of(text: str) -> int:
    """Derive 32 bits that tell what a video was made from.

    Args:
        text: Whatever identifies the maker's input, for example the SHA-256 of the portrait's weights.
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def cell_px(height: int, width: int) -> float:
    """Tell the width of a cell in px for a size of frames: 4 from 256 to 512 px, more above, less below."""
    side = min(height, width)
    fine = max(_SMALLEST_CELL_PX, min(_USUAL_CELL_PX, side / _FEWEST_ACROSS))
    return max(fine, side / CELLS_ACROSS)


def imprint(
    frame: UInt8[np.ndarray, "height width channels"], payload: int
) -> UInt8[np.ndarray, "height width channels"]:
    """Add the watermark to one frame.

    Args:
        frame: RGB, or RGBA, whose opacity is left alone.
        payload: 32 bits.
    """
    height, width, channels = frame.shape
    change = np.rint(strength(frame) * wave(height, width, payload)).astype(np.int16)
    colour = cv2.merge([change] * 3 + [np.zeros_like(change)] * (channels - 3))
    return cv2.add(frame, colour, dtype=cv2.CV_8U)


@lru_cache(maxsize=4)
def wave(height: int, width: int, payload: int) -> Float32[np.ndarray, "height width"]:
    """Draw the tile over a whole frame, smooth, with mean 0 and variance 1."""
    cell = cell_px(height, width)
    rows, columns = (int(np.ceil(length / cell)) + 2 for length in (height, width))
    tiles = np.tile(tile(payload), (-(-rows // CELLS), -(-columns // CELLS)))[:rows, :columns].astype(np.float32)
    # Pixel x shows the cells around x / cell; edges fall between pixels.
    place = np.array([[1 / cell, 0, 0.5 / cell], [0, 1 / cell, 0.5 / cell]], dtype=np.float32)
    smooth = cv2.warpAffine(tiles, place, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    smooth -= cv2.GaussianBlur(smooth, (0, 0), 1.2 * cell)
    return smooth / smooth.std()


def tile(payload: int) -> Int[np.ndarray, "cells cells"]:
    """Encode 32 bits as the signs of a tile's cells."""
    if not 0 <= payload < 1 << NUM_BITS:
        raise ValueError(f"The watermark carries {NUM_BITS} bits, {payload} does not fit.")
    words = [_codeword(byte) for byte in payload.to_bytes(_NUM_BYTES, "big")]
    chips = np.tile(np.concatenate(words), CELLS**2 // (_CODE * _NUM_BYTES))
    order, signs = scrambling()
    cells = np.empty(CELLS**2, dtype=np.int64)
    cells[order] = chips
    return (cells * signs).reshape(CELLS, CELLS)


def _codeword(byte: int) -> Int[np.ndarray, " chips"]:
    return hadamard()[byte & (_CODE - 1)] * (1 - 2 * (byte >> 7))


@lru_cache(maxsize=1)
def hadamard() -> Int[np.ndarray, "codes chips"]:
    """List the 128 codewords whose negatives complete the code."""
    matrix = np.ones((1, 1), dtype=np.int64)
    while len(matrix) < _CODE:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


@lru_cache(maxsize=1)
def scrambling() -> tuple[Int[np.ndarray, " cells"], Int[np.ndarray, " cells"]]:
    """Tell which cell each chip goes to, and the sign of every cell. Public: it hides nothing, it is only random."""
    # The bytes of SHA-256, not a generator whose stream another version of NumPy may change.
    stream = b"".join(hashlib.sha256(f"ns-talking watermark 1 {k}".encode()).digest() for k in range(CELLS**2 // 4))
    numbers = np.frombuffer(stream, dtype=">u8")[: CELLS**2]
    return np.argsort(numbers >> 1, kind="stable"), np.where(numbers & 1, 1, -1).astype(np.int64)


@lru_cache(maxsize=1)
def codes() -> Int[np.ndarray, "bytes codes cells cells"]:
    """Draw what each byte of the payload adds to a tile, by codeword; negatives complete the code."""
    order, signs = scrambling()
    repeated = np.zeros((_NUM_BYTES, _CODE, CELLS**2), dtype=np.int64)
    for byte in range(_NUM_BYTES):
        chips = np.zeros((_CODE, CELLS**2 // (_CODE * _NUM_BYTES), _NUM_BYTES, _CODE), dtype=np.int64)
        chips[:, :, byte] = hadamard()[:, None]
        repeated[byte][:, order] = chips.reshape(_CODE, -1)
    return (repeated * signs).reshape(_NUM_BYTES, _CODE, CELLS, CELLS)


def payload_from(words: Int[np.ndarray, " bytes"], negative: Bool[np.ndarray, " bytes"]) -> int:
    """Join the number and the sign of the codeword of each byte to a payload."""
    values = words + np.where(negative, _CODE, 0)
    return int.from_bytes(bytes(values.tolist()), "big")
