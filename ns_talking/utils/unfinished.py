"""The hidden folder in which a long output grows, piece by piece, until it is complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ns_talking.utils.files import write_json

_CONTENT = "content.json"
_LOCK = "lock"


class UnfinishedFolder:
    """Keeps pieces of an output, and finds them again for a run that writes the same.

    Args:
        output: What will be complete one day; the folder lies beside it.
        content: All that the pieces depend on; pieces of another content are thrown away.
    """

    def __init__(self, output: Path, content: Mapping[str, Any]) -> None:  # Any: JSON.
        self.output = output
        self.path = output.with_name(f".{output.name}.unfinished")
        self._content = json.loads(json.dumps(content))

    def open(self, whole: Callable[[Path], list[Path]]) -> list[Path]:
        """Take the folder over, and leave in it only what belongs to this output.

        Args:
            whole: Finds the pieces, from the first to the last that is as it was written.

        Returns:
            These pieces; none if they are of another content.

        Raises:
            ValueError: When another process writes this output.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.path / _LOCK, self.output)
        try:
            kept = whole(self.path) if _read(self.path / _CONTENT) == self._content else []
            for left in self.path.iterdir():
                if left not in kept and left.name not in (_CONTENT, _LOCK):
                    left.unlink()
            write_json(self.path / _CONTENT, self._content)
        except BaseException:
            self.close()
            raise
        return kept

    def strip(self) -> None:
        """Remove what is no piece."""
        for name in (_CONTENT, _LOCK):
            (self.path / name).unlink()

    def remove(self) -> None:
        """Remove the folder with all pieces."""
        shutil.rmtree(self.path)

    def close(self) -> None:
        """Let other processes in."""
        self._lock.close()


def _read(path: Path) -> Any:  # Any: JSON.
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _locked(path: Path, output: Path) -> Any:  # Any: an open file.
    """Keep other processes out as long as the file is open; the system lets go of it however this one ends.

    Raises:
        ValueError: When another process is in.
    """
    file = path.open("w")
    if os.name == "nt":
        return file
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ValueError(f"Another process is writing {output}. Wait for it, or name another output.") from None
    except OSError:
        # Some network file systems know no locks.
        pass
    return file
