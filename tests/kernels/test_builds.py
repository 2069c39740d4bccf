"""Every Triton kernel builds for the GPUs in use, without a GPU, within budgets that keep it fast."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

triton = pytest.importorskip("triton")

CAPABILITIES = [pytest.param(80, marks=pytest.mark.slow), 90, pytest.param(120, marks=pytest.mark.slow)]
"""A100, H100 and H200, RTX 50; the other two build alike and wait for `make test-slow`."""

REGISTERS = {
    "_encode": 80,
    "_encode_tables": 152,
    "_encode_points": 152,
    "_march": 64,
    "_composite": 80,
    "_composite_backward": 96,
    "_pack": 64,
    "_accumulate": 96,
    "_harmonics": 40,
    "_harmonics_backward": 40,
    "_gate": 64,
    "_gate_backward": 96,
    "_render": 255,
    "_draw": 255,
}
"""Most registers per thread; half of a multiprocessor's threads fit at 64, a quarter at 128."""
STACK_BYTES = {"_render": 48, "_draw": 40, "_encode": 16}
"""Most bytes of stack per thread; none where nothing is said. The fused renderer spills a dozen of its hundreds of
registers there, and RAD-NeRF's wider torso ten for sm_120; the assembler for sm_120 puts 16 bytes of the 3-D encoding
there with registers to spare."""
if tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 9):
    # Its assembler spills up to ten registers more.
    STACK_BYTES |= {"_render": 72, "_draw": 80}
SHARED_BYTES = 16_384
"""Most shared memory per program."""


def built(capability: int, cache: Path) -> dict[str, dict[str, Any]]:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(cache), "TRITON_INTERPRET": "0"}
    program = [sys.executable, str(Path(__file__).with_name("build_kernels.py")), str(capability)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_every_kernel_builds_within_its_budget(capability: int, pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    rows = built(capability, pytestconfig.cache.mkdir("triton"))
    assert {row["kernel"] for row in rows.values()} == kernels() == set(REGISTERS)
    too_large = [
        f"{name}: {row}"
        for name, row in rows.items()
        if row["stack"] > STACK_BYTES.get(row["kernel"], 0)
        or row["registers"] > REGISTERS[row["kernel"]]
        or row["shared"] > SHARED_BYTES
    ]
    assert not too_large, "\n".join(too_large)


def kernels() -> set[str]:
    """Names of the kernels of the package: what `triton.jit` decorates and no other kernel calls."""
    decorated, called = set(), set()
    for path in (Path(__file__).parents[2] / "ns_talking" / "kernels" / "triton").glob("*.py"):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.FunctionDef) and any(
                ast.unparse(decorator) == "triton.jit" for decorator in function.decorator_list
            ):
                decorated.add(function.name)
                called |= {
                    node.func.id
                    for node in ast.walk(function)
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                }
    return decorated - called
