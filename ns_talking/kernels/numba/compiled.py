"""Compile the CPU kernels: parallel, kept on disk, safe to call from several threads."""

import functools
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numba
import torch

_LOCK = threading.Lock()


class compiled:  # noqa: N801 - reads as a decorator
    """Decorate a kernel over NumPy arrays; it is compiled for the types of its first call.

    The machine code is kept in `__pycache__` beside the kernel; where that folder is read-only, in Numba's per-user
    cache or in the folder that `NUMBA_CACHE_DIR` names; where nothing is writable it is compiled anew in every process.

    Numba's simplest threading layer ends the process when two threads enter kernels at once, as a viewer and a trainer
    may, so there kernels run one at a time. They use as many threads as PyTorch (`torch.set_num_threads`).
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.dispatcher = _jit(function, parallel=True)
        self.__doc__ = function.__doc__

    def __call__(self, *arguments: Any) -> None:
        with nullcontext() if _takes_several_callers() else _LOCK:
            num_threads = torch.get_num_threads()
            numba.set_num_threads(max(1, min(num_threads, numba.config.NUMBA_NUM_THREADS)))
            self.dispatcher(*arguments)
            # Where both share one OpenMP library, starting Numba's threads changes how many PyTorch uses.
            if torch.get_num_threads() != num_threads:
                torch.set_num_threads(num_threads)


def compiled_part(function: Callable) -> Any:
    """Decorate a function that kernels of the same file call.

    The same file, because Numba renews the kept machine code of a kernel only when the kernel's own file changes.
    """
    return _jit(function, parallel=False)


@functools.lru_cache(maxsize=1)
def _layer() -> str:
    return numba.threading_layer()


def _takes_several_callers() -> bool:
    """Tell whether kernels may run at once; nobody knows before the first one has."""
    try:
        return _layer() != "workqueue"
    except ValueError:
        return False


def _jit(function: Callable, parallel: bool) -> Any:
    try:
        return numba.njit(function, parallel=parallel, nogil=True, cache=True)
    except RuntimeError:
        # Numba raises this where it finds no writable folder for the cache.
        return numba.njit(function, parallel=parallel, nogil=True)
