"""Finding tiny-cuda-nn, and calling its modules with parameters of our own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn

OPTION = "--pipeline.model.implementation"
DEVICE = "cuda"
"""The only kind of device it has."""


def library() -> ModuleType:
    """Import tiny-cuda-nn.

    Raises:
        ImportError: It is not installed or finds no GPU; says how to install it, and what to do without.
    """
    try:
        return importlib.import_module("tinycudann")
    # Without a GPU it raises EnvironmentError.
    except (ImportError, OSError) as error:
        raise ImportError(
            f"`{OPTION} tcnn` needs tiny-cuda-nn, whose package 'tinycudann' could not be imported ({error}). Install "
            "it where there is an NVIDIA GPU, its CUDA toolkit and a C++ compiler: pip install ninja "
            "'git+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch'. Or leave the option at "
            "`torch` (for a trained portrait, in its config.yml): it needs no compiler and reads the same checkpoints."
        ) from error


def check_device(tensor: Tensor) -> None:
    """Refuse tensors that tiny-cuda-nn cannot take.

    Raises:
        ValueError: The tensor is not on a GPU.
    """
    if tensor.device.type != DEVICE:
        raise ValueError(
            f"tiny-cuda-nn computes on {DEVICE} alone, found a tensor on {tensor.device}. Leave `{OPTION}` at `torch` "
            "here (for a trained portrait, in its config.yml); checkpoints are the same."
        )


def make(create: Callable[[], nn.Module], num_parameters: int, device: torch.device, what: str) -> nn.Module:
    """Make a module of the library and check that it lays its parameters out as we do.

    Args:
        create: Calls the library's class.
        num_parameters: How many parameters the layout has that our conversion is written for.
        device: Where it shall compute.
        what: What is made, for the error.

    Raises:
        ValueError: It has another number of parameters.
    """
    with torch.cuda.device(device if device.type == "cuda" else -1):
        module = create()
    found = sum(parameter.numel() for parameter in module.parameters())
    if found != num_parameters:
        raise ValueError(
            f"The installed tiny-cuda-nn lays out {what} as {found} parameters where version 1.7 has "
            f"{num_parameters}, so they cannot be exchanged. Install another version, or leave `{OPTION}` at `torch`."
        )
    # Its own parameters are never read; ours take their place in every call.
    return module.requires_grad_(False)


def call(module: nn.Module, parameters: Tensor, inputs: Tensor) -> Tensor:
    """Run a module of the library on parameters of ours; gradients flow to both tensors."""
    return torch.func.functional_call(module, {"params": parameters}, (inputs,))


def asked_for_half(tensor: Tensor) -> bool:
    """Tell whether autocast asks for float16."""
    device = tensor.device.type
    return torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
