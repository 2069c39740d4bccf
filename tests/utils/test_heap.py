"""Freed memory goes back to the system, and threads share one heap, where the allocator is the GNU one."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from ns_talking.utils import heap

gnu = pytest.mark.skipif(heap._gnu_allocator() is None, reason="the system's allocator is not the GNU one")

_FRAGMENTS = """
import re, threading
from ns_talking.utils.heap import give_back_memory, share_one_heap

def size_mib(name):
    with open("/proc/self/smaps") as file:
        blocks = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", file.read())
    return sum(int(re.search(r"Rss: +(\\d+)", block)[1]) for block in blocks if name in block) // 1024

share_one_heap()
kept = []
def work():
    pieces = [bytearray(100_000) for _ in range(1000)]
    for piece in pieces:
        piece[::1024] = bytes(len(piece[::1024]))
    kept.append(pieces[-1])
thread = threading.Thread(target=work)
before = size_mib("[heap]")
thread.start()
thread.join()
fragmented = size_mib("[heap]")
give_back_memory()
print(fragmented - before, size_mib("[heap]") - before)
"""


@gnu
def test_a_thread_works_in_the_first_heap_and_what_it_left_goes_back() -> None:
    shown = subprocess.run([sys.executable, "-c", _FRAGMENTS], capture_output=True, text=True, check=True).stdout
    fragmented_mib, left_mib = (int(part) for part in shown.split())
    assert fragmented_mib >= 90
    assert left_mib <= 10


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    heap._gnu_allocator.cache_clear()
    try:
        heap.share_one_heap()
        heap.give_back_memory()
        assert heap._gnu_allocator() is None
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
        heap._gnu_allocator.cache_clear()
        heap.give_back_memory()
        assert heap._gnu_allocator() is None
    finally:
        heap._gnu_allocator.cache_clear()
