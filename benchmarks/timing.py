"""Time ways of doing the same thing beside each other, and write down on what and how.

All sides of a case run in turn in one process, so that their ratios survive a busy machine; seconds do not. On a CPU
the yardstick runs in turn with them, so that targets in milliseconds become ratios as well. A case whose sides do not
agree gets no number.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from yardstick import Yardstick, on_reference

from ns_talking.utils.heap import keep_what_a_step_frees
from ns_talking.utils.source import commit

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FORMAT = "timings-1"
"""Marks our records among those of other benchmarks."""

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
_PACKAGES = ("torch", "triton", "numba", "nerfstudio")


@dataclass(frozen=True)
class Case:
    """One thing to do, and ways to do it."""

    name: str
    sides: dict[str, Callable[[], list[Tensor]]]
    """Each gives its results, to be compared with those of the first; one that computes something else gives none."""
    tolerance: float = 2e-4
    """Largest difference, as a share of the largest value."""
    shape: str = ""
    dtype: str = "float32"


def arguments(description: str | None, kinds: Iterable[str]) -> argparse.Namespace:
    """Read the options that all timings have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(kinds), default=list(kinds))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repeats", type=int, default=20, help="runs of every side")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu counts the processor's time")
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # As training does; every side has it.
    keep_what_a_step_frees()
    return options


def run(makers: Iterable[Callable[[], Case]], options: argparse.Namespace) -> None:
    """Check, time and print cases, and put them into the record of this device and commit."""
    rows = []
    for make in makers:
        case = make()
        check(case)
        load = os.getloadavg()[0]
        clock = CLOCKS[options.clock]
        yardstick = Yardstick(options.threads, clock) if options.device == "cpu" else None
        sides, yardstick_ms = measure(case, options.repeats, clock, options.device, yardstick)
        slowest = max(row["median_ms"] for row in sides.values())
        print(case.name)
        for side, row in sides.items():
            there = ""
            if yardstick_ms is not None:
                there = f"  {on_reference(row['median_ms'], yardstick_ms):8.2f} ms on the machine of the targets"
            print(f"  {side:42} {row['median_ms']:9.2f} ms  {slowest / row['median_ms']:6.2f}x the slowest{there}")
        rows.append(
            {
                "case": case.name,
                "shape": case.shape,
                "dtype": case.dtype,
                "repeats": options.repeats,
                "load": round(load, 2),
                **({} if yardstick_ms is None else {"yardstick_ms": yardstick_ms}),
                "sides": sides,
            }
        )
    if not options.no_record:
        write(rows, options)


def check(case: Case) -> None:
    """Refuse to time sides that do not agree with the first.

    Raises:
        SystemExit: With the side and its error.
    """
    results = {side: work() for side, work in case.sides.items()}
    wanted = next(iter(results.values()))
    for side, found in results.items():
        for expected, actual in zip(wanted, found, strict=False):
            scale = expected.double().abs().max().item()
            error = (expected.double() - actual.double()).abs().max().item()
            if not error <= case.tolerance * scale:
                raise SystemExit(
                    f"{case.name}: {side!r} is off by {error:.2g} of {scale:.2g}. No numbers before it is right."
                )


def measure(
    case: Case, repeats: int, clock: Callable[[], float], device: str, yardstick: Yardstick | None
) -> tuple[dict[str, dict[str, float]], float | None]:
    """Milliseconds of every side and of the yardstick, interleaved; work on a GPU is waited for."""
    seconds: dict[str, list[float]] = {side: [] for side in case.sides}
    looks: list[float] = []
    for _ in range(repeats):
        if yardstick is not None:
            looks.append(yardstick.look())
        for side, work in case.sides.items():
            _finish(device)
            start = clock()
            work()
            _finish(device)
            seconds[side].append(clock() - start)
    rows = {}
    for side, values in seconds.items():
        cuts = statistics.quantiles(values, n=5) if len(values) > 1 else [values[0]] * 4
        rows[side] = {"median_ms": 1e3 * statistics.median(values), "p20_ms": 1e3 * cuts[0], "p80_ms": 1e3 * cuts[3]}
    return rows, statistics.median(looks) if looks else None


def write(rows: list[dict[str, Any]], options: argparse.Namespace) -> Path:
    """Put cases into the record of this device and commit; cases of the same name are replaced."""
    name, source = device_name(options.device), commit()
    path = RESULTS / f"{name}_{source}.json"
    path.parent.mkdir(exist_ok=True)
    kept = json.loads(path.read_text())["cases"] if path.exists() else []
    new = {row["case"] for row in rows}
    record = {
        "format": FORMAT,
        "device": name,
        "commit": source,
        "date": datetime.datetime.now(tz=datetime.timezone.utc).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "threads": options.threads,
        "clock": options.clock,
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
        "cases": [row for row in kept if row["case"] not in new] + rows,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"Wrote {path.relative_to(ROOT)}")
    return path


def device_name(device: str) -> str:
    """Name of the processor or the GPU, fit for a file name."""
    if device == "cuda":
        name = torch.cuda.get_device_name()
    else:
        info = Path("/proc/cpuinfo")
        found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
        name = found.group(1) if found else platform.processor() or platform.machine()
    name = re.sub(r"\((R|TM)\)|\bCPU\b|\bProcessor\b|@.*", " ", name, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def circumstances(device: str = "cpu") -> dict[str, Any]:
    """Say what a record was measured on."""
    return {
        "device": device_name(device),
        "commit": commit(),
        "date": datetime.datetime.now(tz=datetime.timezone.utc).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
    }


def _finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
