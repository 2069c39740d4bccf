"""Choose, for every call of an operation, the fastest implementation that can run it.

An operation is a documented PyTorch function, its *definition*. A *twin* is another function with the same name and
the same signature that computes the same thing faster on one kind of device: Numba and oneDNN twins run on the CPU,
Triton twins on NVIDIA GPUs. Twins are named by strings and imported at their first use, so importing an operation is
free.

The environment variable `NS_TALKING_KERNELS` decides:

* `auto` (default): the twin for the device of the inputs where it exists and can run, else the definition;
* `torch`: the definition, always;
* `numba` or `triton`: this twin of every operation that has one. A call that the twin cannot run is an error.

`TRITON_INTERPRET=1` lets `triton` run on CPU tensors, slowly, to test kernels without a GPU; `auto` never does.
"""

import functools
import importlib
import os
from collections.abc import Callable, Mapping
from typing import Generic, Literal, ParamSpec, TypeVar

import torch
from torch import Tensor

from ns_talking.utils.progress import CONSOLE

P = ParamSpec("P")
R = TypeVar("R")

Implementation = Literal["torch", "tcnn"]
"""Whose grids and networks a model uses: this package's, or tiny-cuda-nn's."""

ENVIRONMENT_VARIABLE = "NS_TALKING_KERNELS"
CHOICES = ("auto", "torch", "numba", "triton")

_DEVICE_OF = {"numba": "cpu", "onednn": "cpu", "triton": "cuda"}
# Triton's interpreter computes silently wrong with bfloat16, so no kernel takes it.
_DTYPES_OF = {
    "numba": (torch.float32, torch.float16, torch.bfloat16),
    "onednn": (torch.float32,),
    "triton": (torch.float32, torch.float16),
}


def op(
    *, numba: str | None = None, onednn: str | None = None, triton: str | None = None, tcnn: str | None = None
) -> Callable[[Callable[P, R]], "Op[P, R]"]:
    """Turn a definition into an operation with twins.

    Args:
        numba: Where the CPU twin is, as "module:function".
        onednn: Where the CPU twin is that calls oneDNN; it is used with `auto` alone.
        triton: Where the GPU twin is, as "module:function".
        tcnn: Where the GPU twin is that calls tiny-cuda-nn; it runs only where somebody asks for it by name.

    Returns:
        A decorator for the definition.
    """
    named = {"numba": numba, "onednn": onednn, "triton": triton, "tcnn": tcnn}
    twins = {name: target for name, target in named.items() if target is not None}

    def decorate(reference: Callable[P, R]) -> "Op[P, R]":
        return Op(reference, twins)

    return decorate


def chosen_backend() -> str:
    """Read `NS_TALKING_KERNELS`.

    Raises:
        ValueError: The variable holds none of the choices.
    """
    choice = os.environ.get(ENVIRONMENT_VARIABLE, "auto").strip().lower() or "auto"
    if choice not in CHOICES:
        raise ValueError(
            f"{ENVIRONMENT_VARIABLE} is {choice!r}, which is no kernel backend. Set it to one of: {', '.join(CHOICES)}."
        )
    return choice


class Op(Generic[P, R]):
    """A definition that hands its calls to the best twin. Call it like the function it decorates."""

    __name__: str

    def __init__(self, reference: Callable[P, R], twins: Mapping[str, str]) -> None:
        functools.update_wrapper(self, reference)
        self.reference = reference
        """The definition: plain PyTorch, differentiable, any floating dtype, any device."""
        self.twins = dict(twins)
        """Where each twin lives, by backend: "module:function"."""
        self._loaded: dict[str, Callable[P, R] | ImportError] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.choose(*args, **kwargs)(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<operation {self.__name__}: torch{''.join(', ' + name for name in self.twins)}>"

    @property
    def numba(self) -> Callable[P, R]:
        """The CPU twin; raises ImportError with the reason where there is none."""
        return self._load("numba")

    @property
    def triton(self) -> Callable[P, R]:
        """The GPU twin; raises ImportError with the reason where there is none."""
        return self._load("triton")

    def by(self, implementation: Implementation) -> Callable[P, R]:
        """Give the operation as a model's `implementation` asks for it.

        Args:
            implementation: `tcnn` is the twin that calls tiny-cuda-nn, which refuses what it cannot run; `torch` is
                this operation, which chooses for itself.
        """
        return self._load("tcnn") if implementation == "tcnn" else self

    def has_twin_for(self, *tensors: Tensor) -> bool:
        """Tell whether a call with such tensors would run a twin; raises what `choose` raises."""
        return self._choose(list(tensors)) is not self.reference

    def choose(self, *args: P.args, **kwargs: P.kwargs) -> Callable[P, R]:
        """Find the implementation that a call with these arguments would run.

        Raises:
            ValueError: `NS_TALKING_KERNELS` asks for a twin that cannot take these arguments.
            ImportError: `NS_TALKING_KERNELS` asks for a twin that cannot be imported here.
        """
        return self._choose([value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)])

    def _choose(self, tensors: list[Tensor]) -> Callable[P, R]:
        choice = chosen_backend()
        if choice == "torch" or not self.twins:
            return self.reference
        if choice == "auto":
            for name in self.twins:
                if name in _DEVICE_OF and _obstacle(name, tensors, _DEVICE_OF[name]) is None:
                    try:
                        return self._load(name)
                    except ImportError as error:
                        _tell_once(name, str(error))
            return self.reference
        if choice not in self.twins:
            return self.reference
        interpreted = choice == "triton" and os.environ.get("TRITON_INTERPRET") == "1"
        obstacle = _obstacle(choice, tensors, "cpu" if interpreted else _DEVICE_OF[choice])
        if obstacle is not None:
            raise ValueError(
                f"{ENVIRONMENT_VARIABLE}={choice} cannot run {self.__name__}: {obstacle}. "
                f"Set {ENVIRONMENT_VARIABLE}=auto to let every call choose."
            )
        return self._load(choice)

    def _load(self, name: str) -> Callable[P, R]:
        if name not in self._loaded:
            self._loaded[name] = self._import(name)
        twin = self._loaded[name]
        if isinstance(twin, ImportError):
            raise twin
        return twin

    def _import(self, name: str) -> Callable[P, R] | ImportError:
        if name not in self.twins:
            return ImportError(f"{self.__name__} has no {name} twin; its definition is {self.__name__}.reference.")
        module, _, attribute = self.twins[name].partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            return ImportError(
                f"The {name} twin of {self.__name__} cannot be imported: {error}. "
                f"Install what is missing, or set {ENVIRONMENT_VARIABLE}=torch to use the slower definitions."
            )


def _obstacle(name: str, tensors: list[Tensor], device: str) -> str | None:
    """Say why a twin cannot take these tensors on a kind of device, or None where it can."""
    for tensor in tensors:
        if tensor.device.type != device:
            return f"it runs on {device} tensors, found one on {tensor.device}"
        if tensor.is_floating_point() and tensor.dtype not in _DTYPES_OF[name]:
            return f"it computes in float32, found a tensor of {tensor.dtype}"
    return None


_TOLD: set[str] = set()


def _tell_once(name: str, reason: str) -> None:
    """Say why slower definitions take over, where that can be mended: not without a GPU, nor without oneDNN."""
    if name not in _TOLD and (name == "numba" or torch.cuda.is_available()):
        _TOLD.add(name)
        CONSOLE.print(f"[yellow]{reason}[/yellow]")
