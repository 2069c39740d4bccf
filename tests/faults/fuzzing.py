"""Opens damaged files in processes of their own, and tells clear errors from crashes, hangs and gluttony."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from command_server import resident_mib

from ns_talking.utils.plain_errors import PLAIN, explain

MEMORY_MIB = 2048
"""Of the process with all that it has imported; PyTorch reserves more addresses than that, so memory is measured."""
TIME_S = 20.0
_AT_ONCE = 50
"""Files that one process opens; after a crash, the next goes on behind the one that crashed."""


@dataclass(frozen=True)
class Target:
    """Something that opens files."""

    name: str
    damage: Callable[[np.random.Generator, Path], Path]
    """Writes a damaged file into a folder and gives its path."""
    open: Callable[[Path], object]
    """Opens it as the commands do."""


@dataclass
class Fuzzed:
    """What became of the files."""

    files: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """How many were read in spite of the damage, and how many were refused."""
    failures: list[str] = field(default_factory=list)
    """Crashes, unclear errors, hangs and gluttony, with the seed that makes the file again."""
    peak_mib: float = 0.0
    slowest_s: float = 0.0


def fuzz(target: Target, folder: Path, seeds: Sequence[int]) -> Fuzzed:
    """Open a damaged file for every seed."""
    found = Fuzzed(files=len(seeds))
    folder.mkdir(parents=True, exist_ok=True)
    pending = list(seeds)
    while pending:
        done = _in_a_process(target, folder, pending[:_AT_ONCE], found)
        pending = pending[done:]
    return found


def outcome_of(target: Target, path: Path) -> tuple[str, str]:
    """Open a file here, and say what came of it: `read`, `refused` or `failed`, and the message."""
    try:
        target.open(path)
    except PLAIN as error:
        message = explain(error)
        # A clear error names what is wrong: the file, or "the video" where a command is given only one.
        if path.name in message or target.name.split()[0] in message or target.name in message:
            return "refused", message
        return "failed", f"unclear error {type(error).__name__}: {message[:300]}\n{_where(error)}"
    except BaseException as error:
        return "failed", f"{type(error).__name__}: {str(error)[:300]}\n{_where(error)}"
    return "read", ""


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))


def _in_a_process(target: Target, folder: Path, seeds: Sequence[int], found: Fuzzed) -> int:
    """Open files in a fork until they are done or it dies; returns how many are dealt with."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(target, folder, seeds, writing)
    os.close(writing)
    os.set_blocking(reading, False)
    text, began_s, peak_mib, killed = b"", time.monotonic(), 0.0, ""
    num_lines = 0
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        with contextlib.suppress(BlockingIOError):
            text += os.read(reading, 1 << 20)
        if text.count(b"\n") > num_lines:
            num_lines, began_s = text.count(b"\n"), time.monotonic()
        if ended:
            break
        peak_mib = max(peak_mib, resident_mib(child))
        if time.monotonic() - began_s > TIME_S or peak_mib > MEMORY_MIB:
            killed = "hangs" if peak_mib <= MEMORY_MIB else f"takes {peak_mib:.0f} MiB"
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.005)
    while True:
        try:
            block = os.read(reading, 1 << 20)
        except BlockingIOError:
            break
        if not block:
            break
        text += block
    os.close(reading)
    found.peak_mib = max(found.peak_mib, round(peak_mib, 1))
    results = [json.loads(line) for line in text.splitlines()]
    for seed, outcome, message, took_s in results:
        found.outcomes[outcome] += 1
        found.slowest_s = max(found.slowest_s, took_s)
        if outcome == "failed":
            found.failures.append(f"{target.name} seed {seed}: {message}")
    if len(results) < len(seeds):
        reason = killed or f"ends by signal {-os.waitstatus_to_exitcode(status)}"
        found.outcomes["failed"] += 1
        found.failures.append(f"{target.name} seed {seeds[len(results)]}: {reason}")
        return len(results) + 1
    return len(results)


def _work(target: Target, folder: Path, seeds: Sequence[int], writing: int) -> None:
    """Open files one after the other, and say of each what came of it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        for seed in seeds:
            path = target.damage(np.random.default_rng([seed, *target.name.encode()]), folder)
            began_s = time.monotonic()
            outcome, message = outcome_of(target, path)
            line = [seed, outcome, message if outcome == "failed" else "", round(time.monotonic() - began_s, 3)]
            os.write(writing, json.dumps(line).encode() + b"\n")
    except BaseException:
        os.write(writing, json.dumps([seed, "failed", traceback.format_exc()[-500:], 0]).encode() + b"\n")
    finally:
        os._exit(0)
