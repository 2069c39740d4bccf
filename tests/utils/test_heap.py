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


_FAULTS = """
import resource, sys
from ns_talking.utils.heap import give_back_memory, keep_what_a_step_frees

if sys.argv[1] == "kept":
    keep_what_a_step_frees()

def step():
    pieces = [bytearray(4_000_000) for _ in range(20)]
    for piece in pieces:
        piece[::1024] = bytes(len(piece[::1024]))

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

step()
step()
print(faults(), end=" ")
give_back_memory()
print(faults())
"""


@gnu
@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted by Linux")
def test_what_a_step_freed_is_there_for_the_next_until_it_is_given_back() -> None:
    faults = {}
    for name in ("kept", "as ever"):
        command = [sys.executable, "-c", _FAULTS, name]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        faults[name] = [int(part) for part in shown.split()]
    pages = 80_000_000 // 4096
    assert faults["kept"][0] < pages // 20 < pages // 2 < faults["as ever"][0]
    assert faults["kept"][1] > pages // 2


_CODE = """
import numpy, scipy.linalg
from ns_talking.utils.heap import forget_unused_code

def of_files():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssFile"))

before = of_files()
forget_unused_code()
after = of_files()
matrix = numpy.arange(9.0).reshape(3, 3) + numpy.eye(3)
print(before, after, scipy.linalg.norm(scipy.linalg.inv(matrix) @ matrix - numpy.eye(3)) < 1e-9)
"""


@gnu
@pytest.mark.skipif(sys.platform != "linux", reason="mappings are listed by Linux")
def test_libraries_leave_memory_and_still_work() -> None:
    shown = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True).stdout
    before, after, works = shown.split()
    assert int(after) < int(before) / 2
    assert works == "True"


_LEAVE = """
import atexit, ctypes, sys
from ns_talking.utils.heap import leave_without_unloading

library = ctypes.CDLL(None)
library.strdup.restype = ctypes.c_void_p
library.__cxa_atexit(library.puts, ctypes.c_void_p(library.strdup(b"unloaded")), None)
atexit.register(print, "python ended", end=" ")
if sys.argv[1] == "leave":
    leave_without_unloading()
library.printf(b"C spoke ")
sys.exit(7)
"""


@gnu
@pytest.mark.parametrize(("how", "unloads"), [("leave", False), ("as ever", True)])
def test_a_process_leaves_with_its_status_and_its_words_but_without_unloading(how: str, unloads: bool) -> None:
    done = subprocess.run([sys.executable, "-c", _LEAVE, how], capture_output=True, text=True)
    assert done.returncode == 7
    assert "python ended" in done.stdout and "C spoke" in done.stdout
    assert ("unloaded" in done.stdout) is unloads


_MAPS = """\
10000-20000 r-xp 00000000 fe:00 77 /lib/code.so
Rss:  64 kB
Anonymous:  0 kB
20000-30000 r--p 00000000 fe:00 77 /lib/relocated.so
Anonymous:  4 kB
30000-40000 rw-p 00000000 fe:00 77 /lib/variables.so
Anonymous:  0 kB
40000-50000 r--p 00000000 00:00 0 [vvar]
Anonymous:  0 kB
50000-60000 r--s 00000000 fe:00 78 /data/frames.npy
Anonymous:  0 kB
"""


def test_only_code_that_nobody_wrote_to_is_dropped() -> None:
    assert heap._mapped_files(_MAPS) == [(0x10000, 0x20000)]


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    heap._gnu_allocator.cache_clear()
    try:
        heap.share_one_heap()
        heap.keep_what_a_step_frees()
        heap.forget_unused_code()
        heap.leave_without_unloading()
        heap.give_back_memory()
        assert heap._gnu_allocator() is None
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
        heap._gnu_allocator.cache_clear()
        heap.give_back_memory()
        assert heap._gnu_allocator() is None
    finally:
        heap._gnu_allocator.cache_clear()
