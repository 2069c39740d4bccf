"""The README's table of results, made from the experiments and the evaluations that they name.

```
python benchmarks/results_table.py                          # prints the tables
python benchmarks/results_table.py --write                  # puts them into README.md
python benchmarks/results_table.py --take EXPERIMENT.yaml evaluation.json ...   # keeps evaluations in results/
```

Nothing in the tables is typed by hand: a method that nobody has measured says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro

from ns_talking.evaluation.record import RowRecord, RunRecord, read_record, write_record
from ns_talking.scripts.experiment import UNMEASURED, Experiment, Figure, read_experiment

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = ROOT / "configs" / "experiments"
RECORDS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- results: python benchmarks/results_table.py --write -->", "<!-- end of results -->"
REFERENCE = "re-encoded"
"""Row of the evaluation that says what a figure gives at best."""


@dataclass
class ResultsTable:
    """Print the tables of results, put them into the README, or keep evaluations for them."""

    write: bool = False
    """Replace what stands between the marks in README.md."""
    take: tuple[Path, ...] = ()
    """An experiment and files evaluation.json of runs of it, to be kept in benchmarks/results."""

    def main(self) -> None:
        """Make the tables."""
        if self.take:
            experiment, *files = self.take
            for path in files:
                print(taken(read_experiment(experiment), path, RECORDS))
            return
        text = results(sorted(EXPERIMENTS.glob("*.yaml")))
        if not self.write:
            print(text)
            return
        readme = ROOT / "README.md"
        readme.write_text(inserted(readme.read_text(encoding="utf-8"), text), encoding="utf-8")
        print(f"Wrote {readme}")


def taken(experiment: Experiment, path: Path, folder: Path) -> str:
    """Keep evaluations among the records, without what tells of the machine's folders.

    Returns:
        For each run, the line that the experiment's file needs.

    Raises:
        ValueError: When a run is of a method that the experiment does not have, or lacks one of its figures.
    """
    lines = []
    for record in read_record(path):
        if record.method not in experiment.methods:
            raise ValueError(f"{path} is of {record.method}, which {experiment.name} does not have. Add it there.")
        for figure in experiment.figures:
            figure.read(record)
        name = f"{experiment.name}_{record.method}_seed{record.seed}.json"
        write_record(folder / name, [replace(record, rows=[_without_advice(row) for row in record.rows])])
        lines.append(f"{record.method}: {{{record.seed}: {name}}}")
    return "\n".join(lines)


def results(files: list[Path]) -> str:
    """Make one table per experiment, each with a row of real frames first and its figures explained below."""
    return "\n\n".join(table(read_experiment(path), path) for path in files)


def inserted(readme: str, text: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """Put tables between two marks.

    Raises:
        ValueError: When the marks are not there.
    """
    begin, end = marks
    if begin not in readme or end not in readme:
        raise ValueError(f"README.md lacks the marks {begin} and {end}. Put them where the results belong.")
    before, rest = readme.split(begin, 1)
    return f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end, 1)[1]}"


def table(experiment: Experiment, path: Path) -> str:
    """Make the table of one experiment."""
    head = ["method", *(f"{figure.title} ({figure.unit})" for figure in experiment.figures), "seeds, commit"]
    measured = [record for runs in experiment.methods.values() for record in runs.values() if record is not None]
    reference = [_reference(figure, measured) for figure in experiment.figures]
    rows = [head, ["---"] * len(head), ["*real frames, encoded again*", *reference, "-"]]
    for method, runs in experiment.methods.items():
        records = [record for record in runs.values() if record is not None]
        cells = [_cell(figure, [figure.read(record) for record in records]) for figure in experiment.figures]
        seeds = ", ".join(str(seed) for seed, record in runs.items() if record is not None)
        commits = ", ".join(sorted({str(record.circumstances.get("commit", "?")) for record in records}))
        rows.append([f"`{method}`", *cells, f"{seeds} at {commits}" if records else "-"])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    meanings = [f"- {figure.title}: {figure.meaning}" for figure in experiment.figures]
    name = path.relative_to(ROOT).as_posix()
    intro = f"**{experiment.title}** ({experiment.device}; `ns-talking reproduce {name} --run`)"
    return "\n".join([intro, "", *lines, "", *meanings])


def _reference(figure: Figure, records: list[RunRecord]) -> str:
    """Give what real frames reach; they have no wrong sound."""
    if not records or not figure.row.startswith("model"):
        return "-"
    return f"{np.mean([figure.read(record, REFERENCE) for record in records]):.{figure.decimals}f}"


def _cell(figure: Figure, values: list[float]) -> str:
    """Give the mean over the seeds, with their range where there are several."""
    if not values:
        return UNMEASURED
    mean = f"{np.mean(values):.{figure.decimals}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):.{figure.decimals}f} to {max(values):.{figure.decimals}f})"


def _without_advice(row: RowRecord) -> RowRecord:
    """Keep the first sentence of every reason: the others say where to put a file on this machine."""
    return replace(row, missing={key: reason.split(". ")[0].rstrip(".") + "." for key, reason in row.missing.items()})


if __name__ == "__main__":
    tyro.cli(ResultsTable).main()
