"""How strong the watermark may be where: less on flat walls and skin, where it would be seen, than on hair and cloth.

Source:
    Texture hides noise (contrast masking, for example Legge and Foley, 1980). The measure of texture is our own.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

STRENGTH = 2.4
"""Root mean square of the mark, in grey levels of 255, where texture hides it: a PSNR of 40.5 dB."""
_FLAT = 1.2, 2.3
"""Where nothing hides it, in frames from `_SHAPED_PX` on: of plain pictures, and of textured ones."""
_TEXTURED = 0.45, 0.75
"""Mean share that is hidden in plain pictures, which show the mark best and lose it least, and in textured ones."""
_EVEN_PX, _SHAPED_PX = 256, 512
"""Up to the first, a codec at half the size leaves nothing of the mark to spare: it is equally strong everywhere."""
_TEXTURE = 4.0
"""Mean absolute deviation from the surroundings, in grey levels, that hides the mark in full."""
_SURROUNDINGS = 7
"""Side of the surroundings, in samples of two pixels."""


def strength(frame: UInt8[np.ndarray, "height width channels"]) -> Float32[np.ndarray, "height width"] | float:
    """Tell the root mean square of the watermark for every pixel, in grey levels of 255.

    Args:
        frame: RGB or RGBA.

    Returns:
        `STRENGTH` at most; one number where it is the same everywhere.
    """
    height, width = frame.shape[:2]
    shorter = min(height, width)
    if shorter <= _EVEN_PX:
        return STRENGTH
    hidden = _hidden(frame)
    shaped = float(np.interp(float(hidden.mean()), _TEXTURED, _FLAT))
    flat = float(np.interp(shorter, (_EVEN_PX, _SHAPED_PX), (STRENGTH, shaped)))
    shape = (flat + (STRENGTH - flat) * hidden).astype(np.float32)
    return cv2.resize(shape, (width, height), interpolation=cv2.INTER_LINEAR)


def _hidden(frame: UInt8[np.ndarray, "height width channels"]) -> Float32[np.ndarray, "rows columns"]:
    """Tell how far texture hides the mark, 0 not at all to 1, in half the size."""
    height, width, channels = frame.shape
    small = cv2.resize(frame, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    luma = cv2.cvtColor(small, cv2.COLOR_RGBA2GRAY if channels == 4 else cv2.COLOR_RGB2GRAY).astype(np.float32)
    side = (_SURROUNDINGS, _SURROUNDINGS)
    return np.minimum(cv2.blur(np.abs(luma - cv2.blur(luma, side)), side) / _TEXTURE, 1)
