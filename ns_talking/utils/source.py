"""Which state of our own code runs: records name it."""

from __future__ import annotations

import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def commit(package: Path = _PACKAGE) -> str | None:
    """Give the short hash of the checkout that the code runs from, with `-dirty` where files have changed since.

    Args:
        package: Folder of the package.

    Returns:
        None where the package is installed, or where there is no git: then its version has to do.
    """
    # An installed package may lie inside somebody else's repository, which does not track it.
    tracked = _git(package, "ls-files", "--error-unmatch", "__init__.py")
    return None if tracked is None else _git(package, "describe", "--always", "--dirty", "--exclude", "*")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
