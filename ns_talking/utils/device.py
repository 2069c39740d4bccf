"""Copies to a device, and from it, that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def upload(values: np.ndarray | Tensor, device: torch.device | str) -> Tensor:
    """Copy values to a device; to a GPU through page-locked memory, so that the program goes on meanwhile.

    Args:
        values: In the host's memory.
        device: Where they are needed.
    """
    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def download(values: Tensor) -> Callable[[], Tensor | None]:
    """Begin a copy to the host's memory.

    Args:
        values: On any device; on a GPU perhaps not computed yet.

    Returns:
        A function that gives the copy, or None as long as a GPU is not done with it.
    """
    if values.device.type != "cuda":
        return lambda: values
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(values.device))
    return lambda: host if done.query() else None


def seeded_generator(seed: int, device: torch.device | str) -> torch.Generator:
    """Make a generator on the device that will use it: numbers drawn there need no copy."""
    return torch.Generator(device).manual_seed(seed)
