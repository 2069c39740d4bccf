"""Files that are either complete or absent: written beside their place, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary sibling to write to, and rename it into place when the block ends without an error.

    The sibling keeps the suffix, since many writers choose the format by it. A folder may be written as well:
    it replaces an existing folder of that name. After an error nothing is left behind.

    Args:
        path: Where the finished file or folder shall be. Parent folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.partial{path.suffix}")
    try:
        yield temporary
        if temporary.is_file():
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def absolute_path(value: Any) -> Any:  # Any: settings that are no paths pass through.
    """Make a path absolute; the empty path, which means "not given", and None stay as they are."""
    if not isinstance(value, Path) or value == Path():
        return value
    return value.expanduser().absolute()


def write_json(path: Path, content: Any) -> None:  # Any: JSON is any nesting of dicts, lists and scalars.
    """Write JSON atomically, indented for people, ending with a newline."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Hash a file's content, read in blocks.

    Returns:
        64 lower-case hexadecimal digits.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
