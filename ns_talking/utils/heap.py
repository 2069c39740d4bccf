"""Memory that goes back to the system instead of waiting in the allocator.

The GNU allocator gives each thread a heap of its own, and a heap keeps whatever lies under the last buffer in use.
Training on a CPU, with threads that decode frames and that take half of a batch, kept 0.2 GB that way.
"""

from __future__ import annotations

import ctypes
import functools
import sys

_M_ARENA_MAX = -8


def share_one_heap() -> None:
    """Let threads that start from now on share the first heap; where the system's allocator is another, do nothing."""
    if (library := _gnu_allocator()) is not None:
        library.mallopt(_M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return memory that nobody uses to the system; where the system's allocator is another, do nothing."""
    if (library := _gnu_allocator()) is not None:
        library.malloc_trim(0)


@functools.cache
def _gnu_allocator() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
