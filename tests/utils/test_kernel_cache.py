"""Kernels for shapes that do not come again are let go."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ns_talking.utils.kernel_cache import keep_few_kernels

pytest.importorskip("ns_talking.kernels.onednn.linear", reason="this PyTorch has no oneDNN", exc_type=ImportError)

_MULTIPLY = """
import sys
import torch
from ns_talking.utils.kernel_cache import keep_few_kernels

if sys.argv[1] == "few":
    keep_few_kernels()
torch.set_num_threads(1)
inputs, weight = torch.ones(400, 8), torch.ones(8, 8)
with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON_CREATION):
    for rows in (*range(1, 300), 1):
        print("rows", rows, flush=True)
        torch.ops.mkldnn._linear_pointwise(inputs[:rows], weight, None, "none", [], "")
"""


def _makes_the_first_kernel_again(kept: str) -> bool:
    # A command that another test ran in this process may have said how many kernels to keep.
    clean = {name: value for name, value in os.environ.items() if not name.endswith("CACHE_CAPACITY")}
    command = [sys.executable, "-c", _MULTIPLY, kept]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean)
    _, first, *_, again = done.stdout.split("rows ")
    assert "create:cache_miss" in first, "oneDNN does not tell when it makes a kernel"
    return "create:cache_miss" in again


def test_kernels_for_ever_new_shapes_are_let_go() -> None:
    assert _makes_the_first_kernel_again("few")
    assert not _makes_the_first_kernel_again("all")


def test_what_the_environment_says_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "9")
    keep_few_kernels()
    assert (os.environ["LRU_CACHE_CAPACITY"], os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]) == ("7", "9")
