"""Programs of ours in a process of their own with limits, for files that anyone may have made."""

from __future__ import annotations

import subprocess
import sys

_TIMEOUT_S = 120.0
_MAX_MEMORY = 3 << 30
_MAX_CPU_S = 100
_MAX_FILE = 1 << 30


def run_limited(module: str, *arguments: str, timeout_s: float = _TIMEOUT_S) -> str:
    """Run a module of ours in a process of its own, which has to call `limit_resources` first.

    Args:
        module: Its name.
        arguments: What it is told.
        timeout_s: When it is ended, in seconds.

    Returns:
        What it printed.

    Raises:
        ValueError: With what it said last where it ended with 1, else that it crashed or took too long.
    """
    command = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"Decoding the file took more than {timeout_s:g} s. Use a shorter or plainer one.") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ValueError(said[-1][:300] if done.returncode == 1 and said else "the decoder crashed")
    return done.stdout


def limit_resources() -> None:
    """Bound memory, time and file size of this process where the system can; Windows cannot."""
    try:
        import resource
    except ImportError:
        return
    for kind, most in (
        (resource.RLIMIT_AS, _MAX_MEMORY),
        (resource.RLIMIT_CPU, _MAX_CPU_S),
        (resource.RLIMIT_FSIZE, _MAX_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
