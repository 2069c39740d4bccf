"""What a check says, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.markup import escape
from rich.table import Table

Level = Literal["pass", "warn", "fail"]
_STYLES = {"pass": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Verdict:
    """Outcome of one check."""

    name: str
    level: Level
    found: str
    """What was measured, with its unit."""
    reason: str
    """Why it matters, or why it is fine."""
    advice: str
    """What to film or set differently; empty when it passed."""


def verdict_table(verdicts: Sequence[Verdict], title: str = "Checks") -> Table:
    """Lay verdicts out for the console: all of them, with advice where one did not pass."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("check", overflow="fold", min_width=18)
    table.add_column("", no_wrap=True)
    # Advice names commands, files and addresses: nothing of it may be cut off.
    table.add_column("found", overflow="fold")
    table.add_column("what to do", overflow="fold")
    for verdict in verdicts:
        style = _STYLES[verdict.level]
        table.add_row(
            verdict.name, f"[{style}]{verdict.level}[/{style}]", escape(verdict.found), escape(verdict.advice)
        )
    return table
