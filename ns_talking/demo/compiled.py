"""Compilation of loops over pixels, triangles and samples to machine code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable)


def compiled(function: Function) -> Function:
    """Compile a function at its first call; the result is kept on disk and runs beside other threads.

    Whatever wraps the function, such as the tests' shape checks, is taken off, since it would hide the body.
    """
    return cast(Function, njit(cache=True, nogil=True)(inspect.unwrap(function)))
