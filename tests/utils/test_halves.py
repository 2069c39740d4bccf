"""Two halves give what the whole gives, values and gradients, whatever the number of threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from ns_talking.utils import halves
from ns_talking.utils.halves import in_halves, share_threads

BLOCK = 8


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Shares the threads of a process that has two, for one test."""
    before = torch.get_num_threads()
    monkeypatch.setattr(halves, "_pool", None)

    def share() -> None:
        torch.set_num_threads(2)
        share_threads()

    yield share
    torch.set_num_threads(before)


def network(rows: int = 37) -> tuple[Callable[..., tuple[Tensor, ...]], list[Tensor], list[Tensor], list[Tensor]]:
    """A function of rows, what its gradients shall reach, its arguments that are rows, and those that are shared.

    One shared argument is computed from the other, as a deformation is from a code.
    """
    torch.manual_seed(0)
    points, row = torch.randn(rows, 5, requires_grad=True), torch.arange(rows) % 3
    weight = torch.randn(5, 4, requires_grad=True)
    leaf = torch.randn(3, 4, requires_grad=True)
    code = leaf.exp()
    table = code.sin()

    def function(points: Tensor, row: Tensor, code: Tensor, table: Tensor) -> tuple[Tensor, ...]:
        hidden = (points @ weight).tanh() + table[row]
        return hidden, (hidden * code[row]).square().sum(dim=1), torch.ones_like(row)

    return function, [points, weight, leaf], [points, row], [code, table]


def gradients(outputs: tuple[Tensor, ...], wanted: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(outputs[0].sin().sum() + outputs[1].sum(), wanted))


@pytest.mark.parametrize("threads", [1, 2])
def test_halves_are_the_whole(threads: int, shared: Callable[[], None]) -> None:
    function, wanted, rows, others = network()
    whole = function(*rows, *others)
    expected = gradients(whole, wanted)
    function, wanted, rows, others = network()
    if threads == 2:
        shared()
    outputs = in_halves(function, rows, others, wanted[1:2], BLOCK)
    for value, output in zip(whole, outputs, strict=True):
        torch.testing.assert_close(output, value)
    for one, other in zip(expected, gradients(outputs, wanted), strict=True):
        torch.testing.assert_close(other, one)
    assert not outputs[2].requires_grad
    with torch.no_grad():
        for value, output in zip(whole, in_halves(function, rows, others, [], BLOCK), strict=True):
            torch.testing.assert_close(output, value)


def test_results_do_not_depend_on_the_number_of_threads(shared: Callable[[], None]) -> None:
    found = []
    for threads in (1, 2):
        function, wanted, rows, others = network()
        if threads == 2:
            shared()
        outputs = in_halves(function, rows, others, wanted[1:2], BLOCK)
        found.append([*(output.detach() for output in outputs), *gradients(outputs, wanted)])
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_each_half_has_a_thread_and_each_thread_half_of_the_threads(shared: Callable[[], None]) -> None:
    torch.set_num_threads(4)
    seen: dict[str, int] = {}

    def function(row: Tensor) -> tuple[Tensor, ...]:
        seen[threading.current_thread().name] = torch.get_num_threads()
        return (row,)

    share_threads()
    in_halves(function, [torch.arange(32)], [], [], BLOCK)
    assert len(seen) == 2
    assert set(seen.values()) == {2}


def test_what_is_split_within_a_half_does_not_wait_for_itself(shared: Callable[[], None]) -> None:
    def twice(row: Tensor) -> tuple[Tensor, ...]:
        return (2 * row,)

    shared()
    (found,) = in_halves(lambda row: in_halves(twice, [row], [], [], BLOCK), [torch.arange(64)], [], [], BLOCK)
    assert torch.equal(found, 2 * torch.arange(64))


def test_few_rows_stay_together() -> None:
    lengths = []

    def function(row: Tensor) -> tuple[Tensor, ...]:
        lengths.append(len(row))
        return (row,)

    for rows in (2 * BLOCK - 1, 2 * BLOCK, 5 * BLOCK + 1):
        in_halves(function, [torch.arange(rows)], [], [], BLOCK)
    assert lengths == [15, 8, 8, 16, 25]


@pytest.mark.parametrize("is_new", [True, False])
def test_mixed_precision_stays_with_the_thread_that_asked_for_it(is_new: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def product(rows: Tensor) -> tuple[Tensor, ...]:
        return (rows @ rows.new_ones(4, 3), rows.new_full((len(rows),), len(rows)))

    if not is_new:
        monkeypatch.delattr(torch, "get_autocast_dtype")
        monkeypatch.setattr(torch, "is_autocast_cpu_enabled", lambda: True)
    with torch.autocast("cpu", torch.bfloat16) if is_new else nullcontext():
        found, length = in_halves(product, [torch.ones(32, 4)], [], [], BLOCK)
    assert found.dtype == (torch.bfloat16 if is_new else torch.float32)
    assert (length == 32).all()


@pytest.mark.parametrize("where", [0, 31])
def test_an_error_of_either_half_reaches_the_caller(where: int, shared: Callable[[], None]) -> None:
    def function(row: Tensor) -> tuple[Tensor, ...]:
        if bool((row == where).any()):
            raise ValueError("this half fails")
        return (row,)

    shared()
    with pytest.raises(ValueError, match="this half fails"):
        in_halves(function, [torch.arange(32)], [], [], BLOCK)


def test_an_output_that_nobody_uses_needs_no_gradient() -> None:
    found = []
    for halves_too in (False, True):
        function, wanted, rows, others = network()
        whole = in_halves(function, rows, others, wanted[1:2], BLOCK) if halves_too else function(*rows, *others)
        found.append(torch.autograd.grad(whole[1].sum(), wanted[1:]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_forked_process_gets_a_thread_of_its_own() -> None:
    program = (
        "import os, torch; torch.set_num_threads(2)\n"
        "from ns_talking.utils.halves import in_halves, share_threads\n"
        "share_threads(); work = lambda: in_halves(lambda row: (row + 1,), [torch.arange(32)], [], [], 8); work()\n"
        "child = os.fork()\n"
        "if child == 0: work(); os._exit(7)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 7
