"""Settings of the H.264 encoder under which the same pictures give the same bytes, whatever ran before."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import lru_cache


def h264_options(crf: int) -> dict[str, str]:
    """Give x264's options for a quality.

    On processors with AVX-512, x264 (core 165) spreads the weight of macroblocks over what they refer to by a loop over
    several at a time. Where the last ones of a row do not fill it, as at 450 px, it reads memory that nobody has
    written, and the quality that a block gets depends on what lay there: the pictures look the same and the bytes
    differ from run to run. Its code for AVX2 costs no more time, and gives the bytes of its plain C.

    Remove when: twenty encodings of the test's pictures agree without `asm`, on a processor with AVX-512.

    Args:
        crf: Constant rate factor, 0 lossless to 51 worst.
    """
    options = {"crf": str(crf)}
    features = _processor_features()
    # Named only where it is known to be there: x264 takes the caller's word for it.
    if features.get("AVX512F") and features.get("AVX2"):
        options["x264-params"] = "asm=avx2"
    return options


@lru_cache(maxsize=1)
def _processor_features() -> Mapping[str, bool]:
    """Say what this processor can do, as NumPy found; empty where a NumPy does not tell."""
    # It moved with NumPy 2.
    for name in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        try:
            return getattr(importlib.import_module(name), "__cpu_features__", {})
        except ImportError:
            continue
    return {}
