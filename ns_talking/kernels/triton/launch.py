"""Start Triton kernels: on the device of their tensors, with fixed block sizes, or in Triton's interpreter.

`TRITON_INTERPRET=1`, set before Triton is first imported, runs every kernel on CPU tensors in NumPy: the way to test
without a GPU. Launch configurations are fixed, so that nothing is tuned at first use and every run is alike.
"""

import os
import re
import shutil
from typing import Any

import torch
import triton
from torch import Tensor

_OLDEST = (3, 0)

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether kernels run in the interpreter."""

if tuple(int(part) for part in re.findall(r"\d+", triton.__version__)[:2]) < _OLDEST:
    raise ImportError(
        f"the kernels are written for Triton {'.'.join(map(str, _OLDEST))} or later, found {triton.__version__}; a "
        "newer torch brings one"
    )
if not INTERPRETED and not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
    raise ImportError(
        "Triton builds its link to the GPU's driver once with a C compiler and finds none; install gcc or clang, or "
        "name one in the environment variable CC"
    )

_INTERPRETED_ROWS = 16_384


def block_size(num_rows: int, size: int) -> int:
    """Rows that one program works on.

    Args:
        num_rows: Rows that there are.
        size: Rows per program on a GPU. The interpreter runs programs one after the other and NumPy likes long
            arrays, so there a few programs take all rows.
    """
    if not INTERPRETED:
        return size
    return min(1 << max(num_rows - 1, 0).bit_length(), _INTERPRETED_ROWS)


def power_of_two(count: int) -> int:
    """Smallest power of two that is not less than a count: the length of a tile that holds it."""
    return 1 << max(count - 1, 0).bit_length()


# Any: kernels take tensors, numbers and compile-time constants of all kinds.
def launch(kernel: Any, grid: tuple[int, ...], first: Tensor, *arguments: Any, **constants: Any) -> None:
    """Run a kernel on the device that holds its first argument; an empty grid runs nothing.

    Args:
        kernel: Decorated by `triton.jit`.
        grid: Programs along each axis.
        first: The first argument.
        arguments: The others, in order.
        constants: Compile-time constants and launch options by name.
    """
    if 0 in grid:
        return
    # Multiply-adds are fused unless a kernel has to round as its definition does; Triton's own default will change.
    constants.setdefault("enable_fp_fusion", True)
    with torch.cuda.device_of(first):
        kernel[grid](first, *arguments, **constants)


def deterministic() -> bool:
    """Tell whether results must not depend on the order in which programs finish.

    `torch.use_deterministic_algorithms(True)` asks for it. Otherwise gradients of tables are added up atomically in
    float32 and may differ in their last digits from run to run.
    """
    return torch.are_deterministic_algorithms_enabled()
