"""Find where a program would wait for a GPU, on a machine without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal"}
"""Operations whose result, or its size, has to come back before the program can go on."""


class WaitCounter(TorchDispatchMode):
    """Counts operations that wait: numbers that become Python's, and results whose size depends on numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITS or _by_mask(name, args):
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def waits_of(run: Callable[[], object]) -> dict[str, int]:
    """Count the waits of a function by operation."""
    with WaitCounter() as counter:
        run()
    return dict(counter.found)


def copies_of(run: Callable[[], object]) -> int:
    """Count the tensors that a function makes out of Python's numbers; on a GPU each would be copied there."""

    class Copies(WaitCounter):
        def __torch_dispatch__(
            self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            self.found[func.overloadpacket.__name__] += 1
            return func(*args, **(kwargs or {}))

    with Copies() as counter:
        run()
    return counter.found["lift_fresh"]


def _by_mask(name: str, args: Sequence[Any]) -> bool:
    if name not in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return False
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])
