"""Memory of a training on a CPU: kept from step to step, and given back where nobody uses it.

The GNU allocator gives each thread a heap of its own, and a heap keeps whatever lies under the last buffer in use.
Training on a CPU, with threads that decode frames and that take half of a batch, kept 0.2 GB that way. What lies on top
of the last buffer goes back to the system at once, on the other hand, and a step that asks for the same 40 MB again
waits for the system to clear them: a tenth of a short step, and 3 % of a training's.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import re
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_NEVER = 2**31 - 1
_LARGEST_MMAP_THRESHOLD = 2**25
_MAPS = Path("/proc/self/smaps")
_HEADER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)")

_leaves = False


def share_one_heap() -> None:
    """Let threads that start from now on share the first heap; where the system's allocator is another, do nothing."""
    if (library := _gnu_allocator()) is not None:
        library.mallopt(_M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return memory that nobody uses to the system; where the system's allocator is another, do nothing."""
    if (library := _gnu_allocator()) is not None:
        library.malloc_trim(0)


def keep_what_a_step_frees() -> None:
    """Let buffers that were freed wait for the next step, until `give_back_memory`."""
    if (library := _gnu_allocator()) is not None:
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        library.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def forget_unused_code() -> None:
    """Drop the pages of programs and libraries from this process; what still runs is found again in the file cache.

    Starting PyTorch and Nerfstudio reads half a gigabyte of libraries of which a training runs a fraction. Only
    mappings that cannot be written and hold no page of this process's own are dropped. On systems without Linux's
    list of mappings, do nothing.
    """
    library = _gnu_allocator()
    if library is None or not _MAPS.exists():
        return
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for start, stop in _mapped_files(_MAPS.read_text()):
        library.madvise(start, stop - start, mmap.MADV_DONTNEED)


def leave_without_unloading() -> None:
    """Let this process end, when it does, without a last walk through its libraries.

    To tidy up what the system clears anyway, PyTorch reads 0.4 GB of its libraries again, which was the largest memory
    of a whole training. Python has ended by then, its own buffers are written, and so are those of C; the exit status
    stays. Where the system's allocator is another, do nothing.
    """
    global _leaves
    library = _gnu_allocator()
    if library is None or _leaves or not (hasattr(library, "on_exit") and hasattr(library, "__cxa_atexit")):
        return
    _leaves = True
    # The last to be asked for is called first.
    library.on_exit(library._exit, None)
    getattr(library, "__cxa_atexit")(library.fflush, None, None)


def _mapped_files(maps: str) -> list[tuple[int, int]]:
    """List the mappings of files that cannot be written and of which nothing was written."""
    result, mapping = [], None
    for line in maps.splitlines():
        if found := _HEADER.match(line):
            start, stop, access, inode = found.groups()
            mapping = (int(start, 16), int(stop, 16)) if inode != "0" and access in ("r--p", "r-xp") else None
        elif line.startswith("Anonymous:") and mapping is not None and line.split()[1] == "0":
            result.append(mapping)
    return result


@functools.cache
def _gnu_allocator() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
