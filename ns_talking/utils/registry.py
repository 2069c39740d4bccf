"""Registries are dicts of strings: grep finds an entry, and nothing heavy is imported until it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any


def lookup(registry: Mapping[str, str], name: str, kind: str) -> Any:  # Any: each registry holds its own type.
    """Import the object that a registry lists under a name.

    Args:
        registry: Names and their `"module:attribute"`.
        name: The entry wanted.
        kind: What the registry holds, for the error message, for example `audio features`.

    Raises:
        ValueError: When there is no such entry; the message lists the known ones.
    """
    if name not in registry:
        near = difflib.get_close_matches(name, registry, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There are no {kind} called {name!r}.{hint} Known: {', '.join(registry)}.")
    module, attribute = registry[name].split(":")
    return getattr(importlib.import_module(module), attribute)
