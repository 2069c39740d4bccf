"""Running the commands of this environment, shown as a user would type them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

from ns_talking.utils.progress import CONSOLE

_STARTS = {
    "ns-train": ["-c", "from nerfstudio.scripts.train import entrypoint; entrypoint()"],
    "ns-eval": ["-c", "from nerfstudio.scripts.eval import entrypoint; entrypoint()"],
    "ns-talking": ["-m", "ns_talking"],
    "python": [],
}


def show(command: list[str]) -> None:
    """Print a command as it is typed."""
    CONSOLE.print(f"$ {shlex.join(command)}", highlight=False, soft_wrap=True, markup=False)


def resolved(command: list[str]) -> list[str]:
    """Find a command in this very environment, whether or not it is on the search path.

    Raises:
        ValueError: When it is none that this environment is known to have.
    """
    if command[0] not in _STARTS:
        raise ValueError(f"There is no command {command[0]!r} to run. Known: {', '.join(_STARTS)}.")
    return [sys.executable, *_STARTS[command[0]], *command[1:]]


def environment() -> dict[str, str]:
    """Give the environment of a command that somebody watches."""
    # Nerfstudio 1.1.5 uses what newer versions of PyTorch deprecate; that is no news to whoever tries a demo.
    return {"PYTHONWARNINGS": "ignore::FutureWarning", **os.environ, "PYTHONUNBUFFERED": "1"}


def run(command: list[str]) -> None:
    """Show a command and run it to its end.

    Raises:
        ValueError: When it fails; what it said stands above.
    """
    show(command)
    status = subprocess.run(resolved(command), check=False, env=environment()).returncode
    if status != 0:
        raise ValueError(f"`{shlex.join(command[:2])}` failed with status {status}; what it said stands above.")
