"""The C2PA library with our settings: nothing is fetched from the network, neither in signing nor in reading."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ns_talking.utils.optional import require

_SETTINGS = {
    # A manifest may name an address to load it, or its certificate's revocations, from. Whoever made the file would
    # learn who reads it.
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


def c2pa_library() -> ModuleType:
    """Import c2pa-python.

    Raises:
        ImportError: When there is none for this platform, saying what that means.
    """
    try:
        return require("c2pa", None, "the C2PA mark of videos")
    except (ImportError, OSError, RuntimeError) as error:
        raise ImportError(
            f"The package c2pa-python cannot be loaded ({error}). Install it: pip install c2pa-python. It has wheels "
            "for Linux with glibc 2.28 or later (x86_64, aarch64), macOS and Windows."
        ) from error


def offline_context(c2pa: ModuleType) -> Any:  # Any: a class of the library, which is imported when it is needed.
    """Make the context that every reader and builder of ours gets."""
    return c2pa.Context(settings=c2pa.Settings.from_dict(_SETTINGS))
