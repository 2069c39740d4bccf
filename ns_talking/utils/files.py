"""Files that are either complete or absent: written beside their place, brought to the disk, then renamed."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LONGEST_STEM = 80
"""Letters of a name that its temporary sibling keeps: file systems allow 255 bytes altogether."""

_MANY = 16
"""Files in a folder that are brought to the disk one by one, a few milliseconds each; more go all at once."""


@contextmanager
def atomic_path(path: Path, workplace: Path | None = None) -> Iterator[Path]:
    """Give a temporary sibling to write to, and rename it into place when the block ends without an error.

    What was written is on the disk before it gets its name, so that not even a power cut leaves half a file under it.
    The sibling keeps the suffix, since many writers choose the format by it. A folder may be written as well: it
    replaces an existing folder of that name. After an error nothing is left behind; what a killed process left is
    removed by the next one that writes the same file.

    Args:
        path: Where the finished file or folder shall be. Parent folders are created.
        workplace: Folder of the sibling, on the same file system, where others read whatever lies beside `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent if workplace is None else workplace
    _remove_abandoned(folder, path)
    temporary = _sibling(folder, path)
    try:
        yield temporary
        _to_disk(temporary)
        if temporary.is_dir() and path.is_dir():
            replaced = _sibling(folder, path)
            os.replace(path, replaced)
            os.replace(temporary, path)
            shutil.rmtree(replaced)
        else:
            os.replace(temporary, path)
        _to_disk(path.parent, whole=False)
    except OSError as error:
        # A full disk does not say where.
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)
        raise
    finally:
        _remove(temporary)


def absolute_path(value: Any) -> Any:  # Any: settings that are no paths pass through.
    """Make a path absolute; the empty path, which means "not given", and None stay as they are."""
    if not isinstance(value, Path) or value == Path():
        return value
    return value.expanduser().absolute()


def write_json(path: Path, content: Any) -> None:  # Any: JSON is any nesting of dicts, lists and scalars.
    """Write JSON atomically, indented for people, ending with a newline."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text atomically, in UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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


def folder_sha256(folder: Path) -> str:
    """Hash the names and contents of the files in a folder.

    Returns:
        64 lower-case hexadecimal digits.
    """
    digest = hashlib.sha256()
    for entry in sorted(folder.iterdir()):
        digest.update(f"{entry.name} {sha256(entry)}\n".encode())
    return digest.hexdigest()


def _sibling(folder: Path, path: Path) -> Path:
    return folder / f".{path.stem[:_LONGEST_STEM]}.{_process()}-{uuid.uuid4().hex[:8]}.partial{path.suffix}"


def _process() -> str:
    """Name this process among those of all machines that may share the folder."""
    return f"{hashlib.sha256(platform.node().encode()).hexdigest()[:6]}-{os.getpid()}"


def _remove_abandoned(folder: Path, path: Path) -> None:
    """Remove what processes of this machine that are no more left of a file."""
    machine = _process().split("-")[0]
    stem, suffix = glob.escape(path.stem[:_LONGEST_STEM]), glob.escape(path.suffix)
    for left in folder.glob(f".{stem}.{machine}-*.partial{suffix}"):
        process = left.name.removesuffix(path.suffix).removesuffix(".partial").rsplit(".", 1)[-1].split("-")[1]
        if process.isdecimal() and not _runs(int(process)):
            _remove(left)


def _runs(process: int) -> bool:
    if os.name == "nt":
        # There, asking for a signal ends the process.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _to_disk(path: Path, whole: bool = True) -> None:
    """Wait until a file, or a folder with all that is in it, has left the caches."""
    if path.is_dir():
        entries = list(path.iterdir()) if whole else []
        if len(entries) > _MANY and sys.platform == "linux":
            os.sync()
            return
        for entry in entries:
            _to_disk(entry)
        if os.name == "nt":
            return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
