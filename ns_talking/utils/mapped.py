"""Tables on disk that are read through the memory without filling it."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


def release(values: np.ndarray | None) -> None:
    """Hand back the pages of a memory map that were read; reading them again fetches them again.

    The system would hand them back only when memory becomes scarce, and counts them to this process until then.

    Args:
        values: A memory map or a part of one; an array in memory, and None, stay as they are.
    """
    mapped: Any = getattr(values, "_mmap", None)  # Any: NumPy does not say that it keeps its map there.
    if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
