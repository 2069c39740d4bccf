"""`ns-talking reproduce FILE`: print an experiment, or run it and compare with the numbers it gave before."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.table import Table
from rich.text import Text

from ns_talking.evaluation.record import read_record
from ns_talking.scripts.experiment import UNMEASURED, Experiment, Step, read_experiment
from ns_talking.utils.commands import run
from ns_talking.utils.progress import CONSOLE


@dataclass
class Reproduce:
    """Print the commands of an experiment with the numbers they gave, or run them and compare.

    What is complete is kept: the same command continues an experiment that was interrupted.
    """

    file: tyro.conf.Positional[Path]
    """An experiment: a file of configs/experiments."""
    run: bool = False
    """Run the commands, from a checkout's folder, and compare. Without this they are printed."""
    methods: tuple[str, ...] = ()
    """Methods to take; left out, all of the experiment."""
    seeds: tuple[int, ...] = ()
    """Seeds to take; left out, all that the experiment lists."""
    output: Path = Path("outputs/experiments")
    """Folder for datasets, trainings and records; each experiment has its own in it."""
    shared: Path | None = None
    """Folder of clips that are not part of this repository; left out, NS_TALKING_SHARED or ../shared."""

    def main(self) -> None:
        """Print or run."""
        experiment = read_experiment(self.file)
        runs = self._runs(experiment)
        CONSOLE.print(Text(f"{experiment.title}\n{experiment.about}\nMeasured on: {experiment.device}"))
        for step in experiment.prepare:
            self._do(experiment.filled(step, self._values(experiment)))
        for method, seed in runs:
            for step in experiment.steps:
                self._do(experiment.filled(step, self._values(experiment, method, seed)))
        off = self._compare(experiment, runs)
        if off:
            raise ValueError(
                f"{len(off)} figures lie outside their tolerance: {'; '.join(off)}. Compare device and versions with "
                f"the record, and see benchmarks/results."
            )
        if not self.run:
            CONSOLE.print(f"Next: ns-talking reproduce {self.file} --run", highlight=False, soft_wrap=True)

    def _runs(self, experiment: Experiment) -> list[tuple[str, int]]:
        unknown = sorted(set(self.methods) - set(experiment.methods))
        if unknown:
            known = ", ".join(experiment.methods)
            raise ValueError(f"The experiment {experiment.name} has no method {unknown[0]!r}. It has: {known}.")
        runs = [
            (method, seed)
            for method, expected in experiment.methods.items()
            for seed in expected
            if (not self.methods or method in self.methods) and (not self.seeds or seed in self.seeds)
        ]
        if not runs:
            raise ValueError(f"The experiment {experiment.name} has no run with the seeds {self.seeds}.")
        return runs

    def _values(self, experiment: Experiment, method: str = "", seed: int | str = "") -> dict[str, str]:
        shared = self.shared or Path(os.environ.get("NS_TALKING_SHARED", "../shared"))
        output = self.output / experiment.name
        return {"output": str(output), "shared": str(shared), "method": method, "seed": str(seed)}

    def _do(self, step: Step) -> None:
        if not self.run:
            CONSOLE.print(f"$ {step.command}", highlight=False, soft_wrap=True, markup=False)
        elif Path(step.makes).exists():
            CONSOLE.print(Text(f"{step.makes} is there"), soft_wrap=True)
        else:
            run(shlex.split(step.command))
            if not Path(step.makes).exists():
                raise ValueError(f"`{step.command}` ended without {step.makes}. Does the experiment name it rightly?")

    def _compare(self, experiment: Experiment, runs: list[tuple[str, int]]) -> list[str]:
        """Print expected and found numbers; give those that differ."""
        table = Table("method", "seed", "figure", "expected", "found", "")
        off = []
        for method, seed in runs:
            expected = experiment.methods[method][seed]
            record = Path(experiment.filled(experiment.steps[-1], self._values(experiment, method, seed)).makes)
            found = read_record(record)[0] if self.run else None
            for figure in experiment.figures:
                wanted = None if expected is None else figure.read(expected)
                got = None if found is None else figure.read(found)
                verdict = ""
                if wanted is not None and got is not None:
                    agrees = abs(got - wanted) <= figure.tolerance
                    verdict = "agrees" if agrees else "differs"
                    if not agrees:
                        off.append(f"{method} seed {seed} {figure.title} {got:.{figure.decimals}f}")
                shown = UNMEASURED if wanted is None else f"{wanted:.{figure.decimals}f} ± {figure.tolerance:g}"
                reached = "" if got is None else f"{got:.{figure.decimals}f}"
                table.add_row(method, str(seed), f"{figure.title}, {figure.unit}", shown, reached, verdict)
        CONSOLE.print(table)
        return off
