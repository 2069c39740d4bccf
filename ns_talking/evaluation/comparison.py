"""Several evaluations side by side: means and spreads over seeds and datasets, settings against settings."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ns_talking.evaluation.record import RunRecord


@dataclass(frozen=True)
class Spread:
    """A figure over several runs."""

    mean: float
    deviation: float | None
    """Standard deviation between runs; None of a single one."""
    count: int


@dataclass(frozen=True)
class Group:
    """Runs with the same settings; they differ in seed and dataset alone."""

    label: str
    """The method, and what tells the group from others of that method."""
    method: str
    settings: str
    datasets: tuple[str, ...]
    seeds: tuple[int | None, ...]
    runs: tuple[str, ...]
    values: dict[str, dict[str, Spread]]
    """By row, then by figure."""


def compared(runs: Sequence[RunRecord]) -> list[Group]:
    """Group runs by their settings, and summarise every figure of every row.

    With several datasets the mean is that of the datasets' means, so that a dataset with more seeds does not weigh
    more; the deviation is that between datasets.
    """
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        groups.setdefault((run.method, run.settings), []).append(run)
    found = list(groups.values())
    return [_group(members, _label(members, found)) for members in found]


def joined(runs: Sequence[RunRecord]) -> Group:
    """Summarise all runs as one group: right for rows that do not depend on the training, only on the dataset."""
    first = {run.dataset: run for run in reversed(runs)}
    return _group(list(first.values()), "all")


def _label(runs: list[RunRecord], groups: list[list[RunRecord]]) -> str:
    """Name a group by its method; where others have it too, by its experiments, times or settings as well."""
    method = runs[0].method
    rivals = [other for other in groups if other is not runs and other[0].method == method]
    if not rivals:
        return method
    # A run is called EXPERIMENT/METHOD/TIME.
    for part in (0, -1):
        own = {run.name.rsplit("/", 2)[part]: None for run in runs}
        if not any(run.name.rsplit("/", 2)[part] in own for other in rivals for run in other):
            return f"{method}, {', '.join(own)}"
    return f"{method}, settings {runs[0].settings}"


def _group(runs: list[RunRecord], label: str) -> Group:
    first = runs[0]
    datasets = tuple(dict.fromkeys(run.dataset for run in runs))
    rows = dict.fromkeys(row.name for run in runs for row in run.rows)
    values = {}
    for name in rows:
        keys = dict.fromkeys(key for run in runs if (row := run.row(name)) for key in row.values)
        values[name] = {key: _spread(runs, datasets, name, key) for key in keys}
    return Group(
        label=label,
        method=first.method,
        settings=first.settings,
        datasets=datasets,
        seeds=tuple(dict.fromkeys(run.seed for run in runs)),
        runs=tuple(run.name for run in runs),
        values=values,
    )


def _spread(runs: list[RunRecord], datasets: tuple[str, ...], name: str, key: str) -> Spread:
    by_dataset = []
    for dataset in datasets:
        found = [
            row.values[key]
            for run in runs
            if run.dataset == dataset and (row := run.row(name)) is not None and key in row.values
        ]
        if found:
            by_dataset.append(found)
    samples = [statistics.fmean(found) for found in by_dataset] if len(by_dataset) > 1 else by_dataset[0]
    deviation = statistics.stdev(samples) if len(samples) > 1 else None
    return Spread(statistics.fmean(samples), deviation, sum(len(found) for found in by_dataset))
