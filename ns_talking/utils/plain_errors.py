"""Errors a user can mend, said in one line instead of a traceback."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.text import Text

INTERRUPTED = 130
"""What shells report for a process that ended by Ctrl-C: 128 + SIGINT."""
PLAIN = (ValueError, ImportError, OSError, FloatingPointError)
"""Exceptions whose text says what is wrong, what was found and what to do."""


_LIMITS = (errno.EFBIG, getattr(errno, "EDQUOT", errno.EFBIG))
_NO_ROOM = (errno.ENOSPC, *_LIMITS)
_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")
"""What NumPy says of a full disk, without a number."""


def tracebacks_wanted() -> bool:
    """Tell whether NS_TALKING_DEBUG asks for the place in the code that an error comes from."""
    return os.environ.get("NS_TALKING_DEBUG", "0") not in ("", "0")


def explain(error: BaseException) -> str:
    """Say an error in a line."""
    if isinstance(error, OSError) and (error.errno in _NO_ROOM or _CUT_SHORT.fullmatch(str(error))):
        reason = "A file grew larger than it may" if error.errno in _LIMITS else "The disk is full"
        return f"{reason}{_place(error)}. Free some space or choose another output folder, then run the command again."
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return f"The disk may only be read{_place(error)}. Choose another output folder."
    if isinstance(error, PermissionError) and error.filename:
        return f"No permission to use {error.filename}. Choose another place or change its permissions."
    if isinstance(error, FileNotFoundError) and error.filename and error.errno == errno.ENOENT:
        return f"There is no file {error.filename}. Check the path."
    return str(error) or type(error).__name__


def _place(error: OSError) -> str:
    """Name where something could not be written; the temporary sibling of a file stands for its folder."""
    if not error.filename:
        return ""
    path = Path(os.fsdecode(error.filename))
    return f" while writing {path.parent if '.partial' in path.name else path}"


def report(message: str) -> None:
    """Print an error on standard error, so that output can be piped on."""
    # Text, not markup: a path may contain square brackets.
    Console(stderr=True).print(Text.assemble(("Error: ", "bold red"), (message, "red")), soft_wrap=True)


def end_plainly() -> None:
    """Let this process, a command of Nerfstudio's, end with one line when such an error ends it.

    Nerfstudio's commands print a traceback of thirty frames for a folder that is not there.
    """
    if not tracebacks_wanted():
        sys.excepthook = _say


def _say(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if isinstance(error, PLAIN):
        report(f"{explain(error)}\nNS_TALKING_DEBUG=1 in front of the command shows where it comes from.")
    else:
        sys.__excepthook__(kind, error, traceback)
