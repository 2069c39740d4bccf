"""The README's table of results, made from the experiments and the records that they name.

```
python benchmarks/results_table.py           # prints the table
python benchmarks/results_table.py --write   # puts it into README.md
```

Nothing in the table is typed by hand: a method that nobody has measured says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from ns_talking.scripts.experiment import UNMEASURED, Experiment, Figure, read_experiment

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = ROOT / "configs" / "experiments"
RECORDS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- results: python benchmarks/results_table.py --write -->", "<!-- end of results -->"


@dataclass
class ResultsTable:
    """Print the table of results, or put it into the README."""

    write: bool = False
    """Replace what stands between the marks in README.md."""

    def main(self) -> None:
        """Make the table."""
        text = results(sorted(EXPERIMENTS.glob("*.yaml")))
        if not self.write:
            print(text)
            return
        readme = ROOT / "README.md"
        readme.write_text(inserted(readme.read_text(encoding="utf-8"), text), encoding="utf-8")
        print(f"Wrote {readme}")


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
    rows = [head, ["---"] * len(head), ["*real frames*", *(figure.truth for figure in experiment.figures), "-"]]
    for method, runs in experiment.methods.items():
        records = [_record(expected.record) for expected in runs.values() if expected is not None]
        cells = [_cell(figure, [figure.read(record) for record in records]) for figure in experiment.figures]
        seeds = ", ".join(str(seed) for seed, expected in runs.items() if expected is not None)
        commits = ", ".join(sorted({record["commit"] for record in records}))
        rows.append([f"`{method}`", *cells, f"{seeds} at {commits}" if records else "-"])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    meanings = [f"- {figure.title}: {figure.meaning}" for figure in experiment.figures]
    name = path.relative_to(ROOT).as_posix()
    intro = f"**{experiment.title}** ({experiment.device}; `ns-talking reproduce {name} --run`)"
    return "\n".join([intro, "", *lines, "", *meanings])


def _record(name: str) -> dict:
    return json.loads((RECORDS / name).read_text(encoding="utf-8"))


def _cell(figure: Figure, values: list[float]) -> str:
    """Give the mean over the seeds, with their range where there are several."""
    if not values:
        return UNMEASURED
    mean = f"{np.mean(values):.{figure.decimals}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):.{figure.decimals}f} to {max(values):.{figure.decimals}f})"


if __name__ == "__main__":
    tyro.cli(ResultsTable).main()
