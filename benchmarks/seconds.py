"""How long whole commands take, here and on the machine that targets in seconds were set on.

    python benchmarks/seconds.py --name er_nerf_training -- ns-train er-nerf --data outputs/me --vis tensorboard

A machine with other users is now twice as fast and now half: seconds of one command say little. Every few seconds the
command is stopped, the yardstick runs a few times, and the command goes on; what lies between two looks is converted at
their speed. Time while it is stopped does not count. Memory is the most that the command or a process of it held.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import timing
import tyro
from yardstick import Yardstick, on_reference

from ns_talking.utils.commands import environment, resolved, show


@dataclass(frozen=True)
class Taken:
    """What a command took."""

    seconds: float
    """From its start to its end, without the looks at the yardstick."""
    on_reference_s: float
    """What the machine of the targets would need."""
    processor_s: float
    """Of all processors together."""
    peak_gb: float
    """Memory that the largest of its processes held at most, in 10^9 bytes; no less than ours when it began."""
    looks: int
    yardstick_ms: tuple[float, float, float]
    """Least, median and most of all looks."""


def take(command: Sequence[str], yardstick: Yardstick, every_s: float, runs: int) -> Taken:
    """Run a command to its end, with looks at the yardstick.

    Args:
        command: What to run; its output is not touched.
        yardstick: The yardstick.
        every_s: Seconds between two looks.
        runs: Runs of the yardstick per look, of which the median counts.

    Raises:
        SystemExit: When the command fails: a run that ended early has no time.
    """
    looks = [_look(yardstick, runs)]
    parts: list[float] = []
    process = subprocess.Popen(command, env=environment(), start_new_session=True)
    try:
        while process.returncode is None:
            start = time.perf_counter()
            try:
                process.wait(every_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGSTOP)
            parts.append(time.perf_counter() - start)
            looks.append(_look(yardstick, runs))
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGCONT)
    except BaseException:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            os.killpg(process.pid, signal.SIGCONT)
            process.wait()
        raise
    if process.returncode:
        raise SystemExit(f"`{shlex.join(command)}` ended with status {process.returncode}: no time of it is kept.")
    there = sum(
        on_reference(part, (before + after) / 2)
        for part, before, after in zip(parts, looks[:-1], looks[1:], strict=True)
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(
        seconds=sum(parts),
        on_reference_s=there,
        processor_s=used.ru_utime + used.ru_stime,
        peak_gb=used.ru_maxrss * 1024 / 1e9,
        looks=len(looks),
        yardstick_ms=(min(looks), statistics.median(looks), max(looks)),
    )


def _look(yardstick: Yardstick, runs: int) -> float:
    return statistics.median(yardstick.look() for _ in range(runs))


@dataclass
class Seconds:
    """Time a command of this environment."""

    command: Annotated[tuple[str, ...], tyro.conf.Positional]
    """The command, after `--`."""
    name: str | None = None
    """Name of the record in benchmarks/results, where folders lose their path; without one there is none."""
    threads: int = 2
    """Threads of the yardstick: as many as the targets' machine had."""
    every_s: float = 10.0
    """Seconds between two looks at the yardstick."""
    runs: int = 3
    """Runs of the yardstick per look."""

    def main(self) -> None:
        """Time, print, and keep."""
        command = list(self.command)
        show(command)
        load = os.getloadavg()[0]
        taken = take(resolved(command), Yardstick(self.threads), self.every_s, self.runs)
        least, middle, most = taken.yardstick_ms
        print(
            f"{taken.seconds:.0f} s here ({taken.processor_s:.0f} s of processors, {taken.peak_gb:.2f} GB), "
            f"{taken.on_reference_s:.0f} s on the machine of the targets; yardstick {least:.0f} to {most:.0f} ms, "
            f"median {middle:.0f}, {taken.looks} looks"
        )
        if self.name is not None:
            path = timing.RESULTS / f"seconds_{self.name}.json"
            told = shlex.join(Path(part).name if Path(part).is_absolute() else part for part in command)
            record = {**timing.circumstances(), "command": told, "load": round(load, 2), **asdict(taken)}
            path.write_text(json.dumps(record, indent=1) + "\n")
            print(f"Wrote {path.relative_to(timing.ROOT)}")


if __name__ == "__main__":
    tyro.cli(Seconds).main()
