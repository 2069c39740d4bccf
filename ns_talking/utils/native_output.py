"""Hiding what native libraries write to standard error past Python."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.RLock()


@contextmanager
def hidden_native_stderr() -> Iterator[None]:
    """Send the process's standard error nowhere while a native library starts up and greets.

    Python's exceptions are not affected. Where standard error has no file descriptor nothing is hidden.
    """
    with _LOCK:
        try:
            saved = os.dup(2)
        except OSError:
            yield
            return
        try:
            sys.stderr.flush()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
