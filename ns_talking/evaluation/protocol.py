"""Protocols: which rows and metrics an evaluation has, and what it demands. Read from `configs/evaluations`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from ns_talking.evaluation import LABELS, ROWS
from ns_talking.metrics import METRICS
from ns_talking.metrics.base import Figure
from ns_talking.utils.registry import lookup

Torso = Literal["own", "real"]
Kind = Literal["self-reenactment", "cross-driven"]
_REAL_TORSO = "@real-torso"
_BOUNDS = ("at_least", "at_most")
_FOLDERS = (Path(__file__).parent / "protocols", Path(__file__).parents[2] / "configs" / "evaluations")
"""In an installed package, and in a checkout."""


@dataclass(frozen=True)
class RowName:
    """A row of the table: what is shown, and over which torso."""

    base: str
    """Key of `ROWS`."""
    torso: Torso = "own"
    """`real` lays the rendered head over the real frame's torso and background, as ER-NeRF's head figures do."""

    @classmethod
    def parse(cls, text: str) -> RowName:
        """Read `model` or `model@real-torso`.

        Raises:
            ValueError: When there is no such row.
        """
        base = text.removesuffix(_REAL_TORSO)
        lookup(ROWS, base, "rows of an evaluation")
        return cls(base, "real" if text.endswith(_REAL_TORSO) else "own")

    def __str__(self) -> str:
        return self.base + (_REAL_TORSO if self.torso == "real" else "")

    @property
    def label(self) -> str:
        """Its name in tables."""
        return LABELS[self.base] + (", over the real torso" if self.torso == "real" else "")


@dataclass(frozen=True)
class Demand:
    """A bound on a figure of one or several rows, or on what it exceeds other rows by."""

    figure: str
    rows: tuple[str, ...]
    """Each of them has to meet it."""
    minus: tuple[str, ...] = ()
    """Rows whose value is taken off; each difference has to meet it."""
    at_least: float | None = None
    at_most: float | None = None
    absolute: bool = False
    """Whether the sign does not count."""


@dataclass(frozen=True)
class Protocol:
    """One way to evaluate."""

    name: str
    title: str
    kind: Kind
    rows: tuple[RowName, ...]
    metrics: tuple[str, ...]
    demands: tuple[Demand, ...] = ()
    shown: str = "model"
    """Row of the video, the worst frames and the plots."""
    max_seconds: float | None = None
    """Length that is measured at most, of the held-out part or of each sound."""

    @property
    def figures(self) -> list[Figure]:
        """All figures of its metrics, in order."""
        return [figure for name in self.metrics for figure in lookup(METRICS, name, "metrics").figures]


def protocol_names() -> list[str]:
    """List the protocols that come with the package."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def read_protocol(name: str) -> Protocol:
    """Read a protocol of the package by its name, or any file.

    Args:
        name: For example `self-reenactment`, or a path that ends in `.yaml`.

    Raises:
        ValueError: When there is none of that name, or the file says something that is not understood.
        FileNotFoundError: When there is no such file.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else _folder() / f"{name}.yaml"
    if not path.is_file():
        if path.parent != _folder():
            raise FileNotFoundError(f"There is no protocol {path}. Check the path.")
        near = difflib.get_close_matches(name, protocol_names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There is no protocol {name!r}.{hint} Known: {', '.join(protocol_names())}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML ({' '.join(str(error).split())}).") from error
    return _protocol(path, content)


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _folder() -> Path:
    return next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])


def _protocol(path: Path, content: Any) -> Protocol:  # Any: whatever the file holds.
    if not isinstance(content, Mapping) or not isinstance(content.get("rows"), list):
        raise ValueError(f"{path} is no protocol: it has no list `rows`. See configs/evaluations for examples.")
    known = {entry.name for entry in fields(Protocol)} - {"name"}
    unknown = sorted(set(content) - known)
    if unknown:
        raise ValueError(f"{path} says {unknown[0]!r}, which protocols do not know. Known: {', '.join(sorted(known))}.")
    kind = content.get("kind", "self-reenactment")
    if kind not in get_args(Kind):
        raise ValueError(f"{path} is of the kind {kind!r}. Known: {', '.join(get_args(Kind))}.")
    metrics = tuple(content.get("metrics", METRICS))
    protocol = Protocol(
        name=path.stem,
        title=str(content.get("title", path.stem)),
        kind=kind,
        rows=tuple(dict.fromkeys(RowName.parse(str(row)) for row in content["rows"])),
        metrics=metrics,
        demands=tuple(_demand(path, entry) for entry in content.get("demands") or ()),
        shown=str(content.get("shown", "model")),
        max_seconds=content.get("max_seconds"),
    )
    keys, rows = {figure.key for figure in protocol.figures}, {str(row) for row in protocol.rows}
    RowName.parse(protocol.shown)
    for demand in protocol.demands:
        absent = [name for name in (*demand.rows, *demand.minus) if name not in rows]
        if demand.figure not in keys or absent:
            what = f"the row {absent[0]!r}" if absent else f"the figure {demand.figure!r}"
            raise ValueError(f"{path} demands something of {what}, which it does not measure.")
    return protocol


def _demand(path: Path, entry: Any) -> Demand:  # Any: as above.
    try:
        values: dict[str, Any] = dict(entry)  # Any: names and numbers.
        values["rows"] = _names(values.pop("row"))
        values["minus"] = _names(values.get("minus", ()))
        values |= {name: float(values[name]) for name in _BOUNDS if values.get(name) is not None}
        demand = Demand(**values)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} has a demand that is not understood: {entry}. It names row, figure, and at_least or at_most."
        ) from error
    if (demand.at_least is None) == (demand.at_most is None):
        raise ValueError(f"{path} has a demand with neither or both of at_least and at_most: {entry}.")
    return demand
