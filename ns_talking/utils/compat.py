"""Workarounds for faults of the host, each with the condition under which it goes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch


def allow_scalars_in_checkpoints() -> None:
    """Let checkpoints that hold NumPy scalars load with `torch.load(..., weights_only=True)`.

    Nerfstudio's exponential schedule keeps its learning rates as `np.float64`, and torch 2.6 made the safe loader the
    default, which refuses them: ns-eval, ns-render, ns-viewer, ns-export and resuming all stop. A scalar and its data
    type hold no code, so they join what the safe loader accepts. It has to be called before a checkpoint is read, hence
    at the import of every method's module, which each of these commands loads.

    Remove when: the oldest Nerfstudio allowed writes plain floats, and checkpoints of older ones need not load any more
    (https://github.com/nerfstudio-project/nerfstudio/issues/3683).
    """
    if torch.__version__ < "2.6":
        return
    reduced = np.float64(0).__reduce__()
    assert isinstance(reduced, tuple)  # A string would stand for a name in a module, which a number is not.
    scalar = reduced[0]
    # A checkpoint names the module by the NumPy that wrote it: `numpy.core` before 2.0, `numpy._core` since.
    names = [f"numpy.{package}.multiarray.scalar" for package in ("core", "_core")]
    allowed: list[Callable | tuple[Callable, str]] = [(scalar, name) for name in names]
    allowed += [np.dtype, *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int64))]
    torch.serialization.add_safe_globals(allowed)
