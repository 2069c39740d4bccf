"""Verdicts of a processed clip, as the dataset keeps them."""

from __future__ import annotations

import dataclasses
import json

from ns_talking.process.step import Workspace
from ns_talking.utils.verdicts import Verdict

VERDICTS = "checks.json"
"""Name of the file in the dataset's `work` folder that holds the verdicts."""


def read_verdicts(workspace: Workspace) -> list[Verdict]:
    """Read the verdicts that the report step left; empty before it ran."""
    path = workspace.work(VERDICTS)
    if not path.is_file():
        return []
    return [Verdict(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def as_json(verdicts: list[Verdict]) -> list[dict[str, str]]:
    """Turn verdicts into what `read_verdicts` reads."""
    return [dataclasses.asdict(verdict) for verdict in verdicts]
