"""What a check of a processed clip says, how it is kept and how it is printed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from rich.table import Table

from ns_talking.process.step import Workspace

Level = Literal["pass", "warn", "fail"]
VERDICTS = "checks.json"
"""Name of the file in the dataset's `work` folder that holds the verdicts."""
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


def read_verdicts(workspace: Workspace) -> list[Verdict]:
    """Read the verdicts that the report step left; empty before it ran."""
    path = workspace.work(VERDICTS)
    if not path.is_file():
        return []
    return [Verdict(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def as_json(verdicts: list[Verdict]) -> list[dict[str, str]]:
    """Turn verdicts into what `read_verdicts` reads."""
    return [dataclasses.asdict(verdict) for verdict in verdicts]


def verdict_table(verdicts: list[Verdict]) -> Table:
    """Lay verdicts out for the console: all of them, with advice where one did not pass."""
    table = Table(title="Checks", title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("found")
    table.add_column("what to do")
    for verdict in verdicts:
        style = _STYLES[verdict.level]
        table.add_row(verdict.name, f"[{style}]{verdict.level}[/{style}]", verdict.found, verdict.advice)
    return table
