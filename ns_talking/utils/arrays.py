"""Reading arrays that somebody else may have written, or damaged."""

from __future__ import annotations

import tokenize
from pathlib import Path

import numpy as np

_DAMAGE = (ValueError, TypeError, OverflowError, EOFError, SyntaxError, KeyError, tokenize.TokenError)
"""What NumPy raises for headers that say what cannot be."""


def read_array(path: Path, mapped: bool = False) -> np.ndarray:
    """Read an array of numbers (.npy).

    Nothing in the file is executed, and what its header claims takes no memory before it is compared with the size of
    the file.

    Args:
        path: The file.
        mapped: Leave the numbers on disk, as a memory map.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it holds no array of numbers, or not all of it.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _DAMAGE as error:
        if path.is_file() and _is_empty(path):
            return np.load(path, allow_pickle=False)
        raise _no_array(path, " ".join(str(error).split())[:200]) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise _no_array(path, f"it holds {kind}")
    return array if mapped else np.array(array)


def _is_empty(path: Path) -> bool:
    """Tell whether an array has no entry, which cannot be mapped; its header alone is read."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            return 0 in shape and dtype.kind in "biuf"
    except _DAMAGE:
        return False


def _no_array(path: Path, reason: str) -> ValueError:
    return ValueError(f"{path} holds no array of numbers, or is damaged ({reason}). Make or copy it again.")
