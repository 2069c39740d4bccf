"""Runs commands in forks of one process that has imported the large packages, which else takes most of their time.

Reads a request per line, {"script", "arguments", "cwd", "variables", "output"}, answers with the exit status, or the
negative number of the signal that ended it. With "kill_after_s" the command is killed when it has run so long, with
"memory_mib" when it takes more.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import signal
import sys
import time
from collections.abc import Callable

_LARGE = ("nerfstudio.configs.method_configs", "nerfstudio.utils.eval_utils", "numba", "av")


def run(request: dict) -> int:
    """Do in this process what the script in `bin/` does in its own."""
    os.environ.update(request["variables"])
    os.chdir(request["cwd"])
    sys.argv = [request["script"], *request["arguments"]]
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name=request["script"])
    try:
        entry.load()()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        # The interpreter's own way, which a command may have changed.
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def watched(child: int, request: dict) -> int:
    """Wait for a command, and kill it when its time is over or it takes too much memory."""
    limit_s, memory_mib = request.get("kill_after_s"), request.get("memory_mib")
    if limit_s is None and memory_mib is None:
        return os.waitpid(child, 0)[1]
    began_s = time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        late = limit_s is not None and time.monotonic() - began_s > limit_s
        if late or (memory_mib is not None and resident_mib(child) > memory_mib):
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


def resident_mib(process: int) -> float:
    """Memory of a process that is its own or shared, in MiB."""
    try:
        with open(f"/proc/{process}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0


def serve(prepare: Callable[[], None], run: Callable[[dict], int]) -> None:
    """Prepare, then run each request in a fork that prints to its "output", until standard input ends."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    prepare()
    for line in requests:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            log = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os._exit(run(request))
        status = watched(child, request)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def import_large_packages() -> None:
    """Import what commands take longest to import."""
    for name in _LARGE:
        importlib.import_module(name)


if __name__ == "__main__":
    serve(import_large_packages, run)
