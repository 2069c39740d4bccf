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

def held_mib():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024

def multiply(first, last):
    for rows in range(first, last):
        torch.ops.mkldnn._linear_pointwise(inputs[:rows], weight, None, "none", [], "")

if sys.argv[1] == "few":
    keep_few_kernels()
torch.set_num_threads(1)
inputs, weight = torch.ones(2000, 64), torch.ones(64, 64)
multiply(1000, 1160)
before = held_mib()
multiply(1160, 1400)
print(held_mib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is read from /proc")
def test_kernels_for_ever_new_shapes_do_not_add_up() -> None:
    grown = {}
    for kept in ("few", "all"):
        done = subprocess.run([sys.executable, "-c", _MULTIPLY, kept], capture_output=True, text=True, check=True)
        grown[kept] = float(done.stdout)
    assert grown["few"] < 8 < grown["all"], grown


def test_what_the_environment_says_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "9")
    keep_few_kernels()
    assert (os.environ["LRU_CACHE_CAPACITY"], os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]) == ("7", "9")
