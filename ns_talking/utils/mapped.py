"""Tables on disk that are read through the memory without filling it."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_PART = 1024
"""Rows that are in memory at once."""


def release(values: np.ndarray | None) -> None:
    """Hand back the pages of a memory map that were read; reading them again fetches them again.

    The system would hand them back only when memory becomes scarce, and counts them to this process until then.

    Args:
        values: A memory map or a part of one; an array in memory, and None, stay as they are.
    """
    mapped: Any = getattr(values, "_mmap", None)  # Any: NumPy does not say that it keeps its map there.
    if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def in_parts(table: np.ndarray, overlap: int = 0) -> Iterator[np.ndarray]:
    """Read a table part by part, in double precision, and forget each part when the next one is wanted.

    Args:
        table: In memory or mapped.
        overlap: Rows of the part before that each part but the first begins with.
    """
    for begin in range(0, len(table), _PART):
        yield table[max(0, begin - overlap) : begin + _PART].astype(np.float64)
        release(table)


def measured(table: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply a measure of single rows to a table, part by part.

    Args:
        table: In memory or mapped, of one row at least.
        measure: From rows to as many values.
    """
    return np.concatenate([measure(part) for part in in_parts(table)])
