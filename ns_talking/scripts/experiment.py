"""An experiment that anyone can repeat: commands, seeds, and the evaluations that they gave here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ns_talking.evaluation.record import RunRecord, read_record

UNMEASURED = "unmeasured"
"""Stands where nobody has run an experiment, so that no number is made up."""


@dataclass(frozen=True)
class Step:
    """One command."""

    command: str
    """With the names in braces that `Experiment.names` lists."""
    makes: str
    """A file that is there once the command is done; then it is not run again."""


@dataclass(frozen=True)
class Figure:
    """One number of an experiment's evaluations."""

    row: str
    """Row of the evaluation, for example `model@real-torso`."""
    key: str
    """Key of the figure in that row."""
    title: str
    unit: str
    tolerance: float
    """How far another machine's number may lie off."""
    decimals: int
    meaning: str
    """What is compared with what; for a PSNR, what stands behind the head on either side."""

    def read(self, record: RunRecord, row: str | None = None) -> float:
        """Take the number out of an evaluation.

        Args:
            record: The evaluation.
            row: Another row to take it from; None is the figure's own.

        Raises:
            ValueError: When it has none, with the reason that it states.
        """
        found = record.row(row or self.row)
        if found is None:
            raise ValueError(
                f"The evaluation of {record.name} has no row {row or self.row!r}. Was it made by another protocol?"
            )
        if self.key not in found.values:
            reason = found.missing.get(self.key, "Was it made by another protocol?")
            raise ValueError(f"The evaluation of {record.name} has no {self.key!r} of {found.name!r}. {reason}")
        return found.values[self.key]


@dataclass(frozen=True)
class Experiment:
    """Everything that one file says."""

    name: str
    title: str
    about: str
    device: str
    """On what the expected numbers were measured."""
    prepare: tuple[Step, ...]
    """Done once."""
    steps: tuple[Step, ...]
    """Done for every method and seed; the last one makes the evaluation."""
    figures: tuple[Figure, ...]
    methods: dict[str, dict[int, RunRecord | None]]
    """Evaluations by method and seed; None where it is unmeasured."""

    names: ClassVar[tuple[str, ...]] = ("output", "shared", "method", "seed")
    """What may stand in braces in commands: where to write, where clips lie, and which run it is."""

    def filled(self, step: Step, values: Mapping[str, str]) -> Step:
        """Put values in place of the names in braces."""
        return Step(step.command.format_map(values), step.makes.format_map(values))


def read_experiment(path: Path) -> Experiment:
    """Read an experiment.

    Raises:
        ValueError: When the file is none; the message names what is wrong with it.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML ({' '.join(str(error).split())}). Name a file of experiments.") from error
    try:
        experiment = _experiment(content, path.parent)
    except KeyError as error:
        raise ValueError(
            f"{path} lacks {error}. configs/experiments/procedural_head.yaml shows what has to be there."
        ) from error
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is no experiment: {error}. See configs/experiments/procedural_head.yaml.") from error
    return experiment


def _experiment(content: Any, folder: Path) -> Experiment:  # Any: YAML.
    records = folder / content["records"]
    experiment = Experiment(
        name=content["name"],
        title=content["title"],
        about=content["about"].strip(),
        device=content["device"],
        prepare=tuple(_step(entry) for entry in content["prepare"]),
        steps=tuple(_step(entry) for entry in content["steps"]),
        figures=tuple(_figure(entry) for entry in content["figures"]),
        methods={
            method: {
                int(seed): None if name == UNMEASURED else _record(records / name, method, int(seed))
                for seed, name in runs.items()
            }
            for method, runs in content["methods"].items()
        },
    )
    probe = dict.fromkeys(Experiment.names, "")
    for step in (*experiment.prepare, *experiment.steps):
        try:
            experiment.filled(step, probe)
        except KeyError as error:
            names = ", ".join(f"{{{name}}}" for name in Experiment.names)
            raise ValueError(f"{step.command!r} names {{{error.args[0]}}}, known are {names}") from error
    return experiment


def _step(entry: Any) -> Step:  # Any: YAML.
    return Step(" ".join(entry["command"].split()), entry["makes"])


def _figure(entry: Any) -> Figure:  # Any: YAML.
    return Figure(
        row=entry["row"],
        key=entry["figure"],
        title=entry["title"],
        unit=entry["unit"],
        tolerance=float(entry["tolerance"]),
        decimals=int(entry["decimals"]),
        meaning=entry["meaning"].strip(),
    )


def _record(path: Path, method: str, seed: int) -> RunRecord:
    (record,) = read_record(path)
    if (record.method, record.seed) != (method, seed):
        raise ValueError(f"{path.name} is of {record.method}, seed {record.seed}, not of {method}, seed {seed}")
    return record
