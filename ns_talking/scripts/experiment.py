"""An experiment that anyone can repeat: commands, seeds, and the numbers that they gave here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

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
    """One number of an experiment's records."""

    key: str
    path: tuple[str, ...]
    """Where it stands in a record, key by key."""
    title: str
    unit: str
    tolerance: float
    """How far another machine's number may lie off."""
    decimals: int
    truth: str
    """What real frames reach, as text: their number, or a word for none."""
    meaning: str
    """What is compared with what; for a PSNR, what stands behind the head on either side."""

    def read(self, record: Mapping[str, Any]) -> float:  # Any: JSON.
        """Take the number out of a record.

        Raises:
            ValueError: When the record has none.
        """
        value: Any = record
        for part in self.path:
            if not isinstance(value, Mapping) or part not in value:
                raise ValueError(f"The record has no {' / '.join(self.path)}. Was it made by another command?")
            value = value[part]
        return float(value)


@dataclass(frozen=True)
class Expected:
    """What one run gave."""

    values: dict[str, float]
    record: str
    """Its record, in benchmarks/results."""


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
    """Done for every method and seed; the last one makes the record."""
    figures: tuple[Figure, ...]
    methods: dict[str, dict[int, Expected | None]]
    """By method and seed; None where it is unmeasured."""

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
        experiment = _experiment(content)
    except KeyError as error:
        raise ValueError(
            f"{path} lacks {error}. configs/experiments/procedural_head.yaml shows what has to be there."
        ) from error
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is no experiment: {error}. See configs/experiments/procedural_head.yaml.") from error
    return experiment


def _experiment(content: Any) -> Experiment:  # Any: YAML.
    figures = tuple(
        Figure(
            key,
            tuple(entry["path"]),
            entry["title"],
            entry["unit"],
            float(entry["tolerance"]),
            int(entry["decimals"]),
            str(entry["truth"]),
            entry["meaning"].strip(),
        )
        for key, entry in content["figures"].items()
    )
    keys = [figure.key for figure in figures]
    experiment = Experiment(
        name=content["name"],
        title=content["title"],
        about=content["about"].strip(),
        device=content["device"],
        prepare=tuple(_step(entry) for entry in content["prepare"]),
        steps=tuple(_step(entry) for entry in content["steps"]),
        figures=figures,
        methods={
            method: {int(seed): _expected(entry, keys) for seed, entry in runs.items()}
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


def _expected(entry: Any, keys: list[str]) -> Expected | None:  # Any: YAML.
    if entry == UNMEASURED:
        return None
    values = {key: float(value) for key, value in entry["figures"].items()}
    if list(values) != keys:
        raise ValueError(f"a run has the figures {', '.join(values)}, the experiment defines {', '.join(keys)}")
    return Expected(values, entry["record"])
