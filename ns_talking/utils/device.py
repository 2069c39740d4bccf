"""Copies to a device that nobody waits for."""

from __future__ import annotations

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


def seeded_generator(seed: int, device: torch.device | str) -> torch.Generator:
    """Make a generator on the device that will use it: numbers drawn there need no copy."""
    return torch.Generator(device).manual_seed(seed)
