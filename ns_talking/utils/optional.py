"""Packages that only some commands need, imported where they are used."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, extra: str | None, purpose: str) -> ModuleType:
    """Import a package that only this purpose needs.

    Args:
        module: Name to import, for example `face_alignment`.
        extra: Extra of `ns-talking` that installs it; None when it is a plain dependency.
        purpose: What it is needed for, as a noun phrase.

    Raises:
        ImportError: When it cannot be imported, naming the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = f"ns-talking[{extra}]" if extra else module.split(".")[0]
        raise ImportError(
            f"{purpose} needs the package {module!r}, which could not be imported ({error}). "
            f"Install it: pip install '{package}'"
        ) from error
