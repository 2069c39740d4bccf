"""The log of videos that left without a mark."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path

from ns_talking.utils.files import sha256
from ns_talking.utils.progress import CONSOLE

UNMARKED = "unmarked.jsonl"
"""Name of the log, beside the config of the portrait."""
NO_MARK = "NS_TALKING_NO_MARK"
"""Environment variable: 1 leaves marks out where a command has no option for it, as `ns-render`."""


def no_mark_wanted() -> bool:
    """Tell whether the environment asks for videos without a mark."""
    return os.environ.get(NO_MARK, "0") not in ("", "0")


def note_unmarked(video: Path, folder: Path, asked_by: str) -> None:
    """Say that a video left without its mark, and write it down.

    Args:
        video: The finished video.
        folder: Of the portrait's config; the log lies there.
        asked_by: The option or variable that asked for it.
    """
    CONSOLE.print(
        f"{video} does not say that it is synthetic ({asked_by}). Saying so where you show it is up to you.",
        style="yellow",
        markup=False,
        soft_wrap=True,
    )
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    entry = {"time": now, "video": video.name, "sha256": sha256(video) if video.is_file() else None}
    with (folder / UNMARKED).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
