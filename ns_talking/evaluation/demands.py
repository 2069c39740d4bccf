"""Whether the demands of a protocol are met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ns_talking.evaluation.protocol import Demand, Protocol
from ns_talking.evaluation.record import DemandRecord, RowRecord


def judge(protocol: Protocol, rows: Sequence[RowRecord]) -> list[DemandRecord]:
    """Check every demand; one whose value could not be had is not met."""
    values = {row.name: row.values for row in rows}
    labels = {figure.key: (figure.label, figure.unit) for figure in protocol.figures}
    return [_judged(demand, values, *labels[demand.figure]) for demand in protocol.demands]


def _judged(demand: Demand, values: Mapping[str, Mapping[str, float]], label: str, unit: str) -> DemandRecord:
    found: list[float] = []
    for row in demand.rows:
        value = values.get(row, {}).get(demand.figure)
        others = [values.get(other, {}).get(demand.figure) for other in demand.minus] if demand.minus else [0.0]
        if value is None or any(other is None for other in others):
            return DemandRecord(_text(demand, label, unit), None, False)
        found += [value - other for other in others if other is not None]
    found = [abs(value) for value in found] if demand.absolute else found
    if demand.at_least is not None:
        return DemandRecord(_text(demand, label, unit), min(found), min(found) >= demand.at_least)
    assert demand.at_most is not None
    return DemandRecord(_text(demand, label, unit), max(found), max(found) <= demand.at_most)


def _text(demand: Demand, label: str, unit: str) -> str:
    """Say the demand in words, such as `PSNR mouth: portrait - shifted >= 1 dB`."""
    rows = _joined(demand.rows)
    rows = f"|{rows}|" if demand.absolute else rows
    if demand.minus:
        rows += f" - {_joined(demand.minus)}"
    relation, bound = (">=", demand.at_least) if demand.at_least is not None else ("<=", demand.at_most)
    return f"{label}: {rows} {relation} {bound:g} {unit}".rstrip()


def _joined(rows: tuple[str, ...]) -> str:
    return rows[0] if len(rows) == 1 else f"each of {', '.join(rows)}"
