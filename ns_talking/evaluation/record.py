"""`evaluation.json`: what was measured, in a form that programs read. The schema has a version."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ns_talking.evaluation import SYNTHETIC
from ns_talking.metrics.base import Figure
from ns_talking.utils.files import write_json

SCHEMA = "ns-talking evaluation"
VERSION = 1
FILE = "evaluation.json"


@dataclass(frozen=True)
class RowRecord:
    """One row of the table."""

    name: str
    """For example `model@real-torso`, or the name of a sound."""
    label: str
    values: Mapping[str, float] = field(default_factory=dict)
    """By the key of the figure."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Figures that could not be had, and why."""
    notes: Mapping[str, str] = field(default_factory=dict)
    num_frames: int = 0
    faces_missed: int = 0
    """Frames in which no face was found."""

    @property
    def voice(self) -> str:
        """The other voice that drives it; empty where it is the clip's own."""
        return self.name.rpartition(": ")[0]

    @property
    def rendered(self) -> bool:
        """Whether a portrait rendered it."""
        return self.name.rpartition(": ")[2].split("@")[0] in SYNTHETIC


@dataclass(frozen=True)
class DemandRecord:
    """What became of a demand."""

    text: str
    value: float | None
    """The worst of its values; None where it could not be had."""
    met: bool


@dataclass(frozen=True)
class RunRecord:
    """The evaluation of one trained portrait."""

    name: str
    """Dataset, method and time of its training."""
    method: str
    dataset: str
    settings: str
    """The same for trainings that differ in their seed and dataset alone."""
    seed: int | None
    protocol: str
    title: str
    figures: Sequence[Figure]
    rows: Sequence[RowRecord]
    demands: Sequence[DemandRecord] = ()
    circumstances: Mapping[str, Any] = field(default_factory=dict)
    """Frames, size, device, versions: what a figure depends on."""

    def row(self, name: str) -> RowRecord | None:
        """Find a row; None where there is none."""
        return next((row for row in self.rows if row.name == name), None)


def write_record(path: Path, runs: Sequence[RunRecord], comparison: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write the evaluation of one or several portraits.

    Args:
        path: The file.
        runs: The evaluations.
        comparison: Means and spreads over runs with the same settings.
    """
    content = {
        "schema": SCHEMA,
        "version": VERSION,
        "runs": [dataclasses.asdict(run) for run in runs],
        "comparison": list(comparison),
    }
    write_json(path, content)


def read_record(path: Path) -> list[RunRecord]:
    """Read what `write_record` wrote.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is something else, or from a newer version.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}. `ns-talking evaluate` writes one for each training.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Evaluate again.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"{path} is no evaluation. Name the evaluation.json that `ns-talking evaluate` wrote.")
    version = content.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise ValueError(
            f"{path} has version {str(version)[:20]} of the schema, this ns-talking reads up to {VERSION}. "
            "Upgrade: pip install --upgrade ns-talking"
        )
    try:
        return [_run(entry) for entry in content["runs"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}). Evaluate again.") from error


def _run(entry: dict[str, Any]) -> RunRecord:
    figures = [Figure(**figure) for figure in entry.pop("figures")]
    rows = [RowRecord(**row) for row in entry.pop("rows")]
    demands = [DemandRecord(**demand) for demand in entry.pop("demands")]
    return RunRecord(figures=figures, rows=rows, demands=demands, **entry)
