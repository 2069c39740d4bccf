"""Runs commands in forks of one process that has imported Nerfstudio already, which else takes most of their time.

Reads a request per line, {"script", "arguments", "cwd", "variables", "output"}, answers with the exit status.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys


def run(request: dict) -> int:
    """Do in this process what the script in `bin/` does in its own."""
    log = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
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


def main() -> None:
    """Serve until standard input ends."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    import nerfstudio.configs.method_configs
    import nerfstudio.utils.eval_utils  # noqa: F401

    for line in requests:
        child = os.fork()
        if child == 0:
            os._exit(run(json.loads(line)))
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


if __name__ == "__main__":
    main()
