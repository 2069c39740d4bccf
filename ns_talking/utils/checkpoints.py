"""Telling a damaged checkpoint before PyTorch stumbles over it."""

from __future__ import annotations

import errno
import zipfile
import zlib
from pathlib import Path

_PICKLE = "data.pkl"


def check_checkpoint(path: Path) -> None:
    """Compare everything in a checkpoint with its check sums.

    Raises:
        ValueError: When the file is damaged, or none of PyTorch's.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            holds_state = any(name.split("/")[-1] == _PICKLE for name in archive.namelist())
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise _damaged(path, str(error)) from error
    if broken is not None or not holds_state:
        raise _damaged(path, f"{broken} is not what was written" if broken else f"it holds no {_PICKLE}")


def _damaged(path: Path, reason: str) -> ValueError:
    others = sorted(other.name for other in path.parent.glob("step-*.ckpt") if other != path)
    again = f"Go on from another: {', '.join(others)}" if others else "Train again"
    return ValueError(f"The checkpoint {path} is damaged ({reason}). {again}, or copy it again from where it came.")
