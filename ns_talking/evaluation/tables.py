"""Tables: figures against rows, on the console and in HTML, with footnotes for what is missing."""

from __future__ import annotations

import html
from collections.abc import Sequence

from rich.table import Table

from ns_talking.evaluation.record import DemandRecord, RowRecord, RunRecord
from ns_talking.metrics.base import Figure

_REFERENCES = ("real", "re-encoded")
"""Rows that no portrait competes with."""
HEADLINES = (
    "psnr",
    "psnr_head",
    "psnr_mouth",
    "lmd",
    "aperture",
    "aperture_spread",
    "lse_c",
    "lip_sound",
    "silence_opening",
    "jitter",
)
"""Figures of the console, which has no room for all."""
_COLUMN_GAP = 3
"""Letters between two columns of a table on the console."""
PARTS: dict[str, tuple[str, ...]] = {
    "Image": ("psnr", "ssim", "ms_ssim", "lpips", "fid", "csim", "likeness"),
    "Lips and expression": ("lmd", "aperture", "closure", "aue", "blendshapes", "eyes"),
    "Sound": ("lse", "sync", "lip_sound", "silence"),
    "Stability and cost": ("jitter", "flicker", "fps", "training", "model"),
}
"""Tables by what their figures' keys begin with: one with forty columns nobody reads."""


def parts_of(figures: Sequence[Figure]) -> dict[str, list[Figure]]:
    """Share figures out over the tables; what belongs nowhere comes last."""
    found: dict[str, list[Figure]] = {title: [] for title in (*PARTS, "Other")}
    for figure in figures:
        title = next((title for title, starts in PARTS.items() if figure.key.startswith(starts)), "Other")
        found[title].append(figure)
    return {title: members for title, members in found.items() if members}


def number(value: float) -> str:
    """Write a value with three or four significant digits."""
    digits = decimals(value)
    return f"{0.0 if round(value, digits) == 0 else value:.{digits}f}"


def decimals(value: float) -> int:
    """Count the digits after the point that a value is written with."""
    size = abs(value)
    return 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 2 else 3 if size >= 0.01 or size == 0 else 5


def best_rows(figure: Figure, rows: Sequence[RowRecord]) -> set[str]:
    """Name the rows with the best value of a figure among those that compete: each voice for itself."""
    voices: dict[str, list[RowRecord]] = {}
    for row in rows:
        voices.setdefault(row.voice, []).append(row)
    return {name for members in voices.values() for name in _best_rows(figure, members)}


def _best_rows(figure: Figure, rows: Sequence[RowRecord]) -> set[str]:
    found = {
        row.name: row.values[figure.key] for row in rows if row.name not in _REFERENCES and figure.key in row.values
    }
    if len(found) < 2 or figure.better == "neither":
        return set()
    score = {
        "higher": lambda value: value,
        "lower": lambda value: -value,
        "nearer 0": lambda value: -abs(value),
        "nearer 1": lambda value: -abs(value - 1),
    }[figure.better]
    top = max(map(score, found.values()))
    return {name for name, value in found.items() if score(value) == top}


def console_tables(record: RunRecord, width: int = 100) -> list[Table]:
    """Lay the figures that are looked at first out for the console, rows downwards; the page has them all.

    Args:
        record: The evaluation.
        width: Letters per line; figures that do not fit beside the others stand in a further table.
    """
    known = {figure.key: figure for figure in record.figures}
    figures = [known[key] for key in HEADLINES if any(key in row.values for row in record.rows) and key in known]
    best = {figure.key: best_rows(figure, record.rows) for figure in figures}
    left = width - max((len(row.name) for row in record.rows), default=0)
    cells = {figure.key: [_cell(row, figure.key) for row in record.rows] for figure in figures}
    wide = [max(map(len, (figure.label, figure.unit, *cells[figure.key]))) for figure in figures]
    tables = []
    for some in _fitting(figures, wide, left):
        table = plain_table(record.title if not tables else None)
        for figure in some:
            table.add_column(f"{figure.label}\n{figure.unit}", justify="right", no_wrap=True)
        for number_, row in enumerate(record.rows):
            found = ((cells[figure.key][number_], row.name in best[figure.key]) for figure in some)
            table.add_row(row.name, *(f"[bold]{cell}[/bold]" if is_best else cell for cell, is_best in found))
        tables.append(table)
    return [*tables, _demand_table(record.demands)] if record.demands else tables


def plain_table(title: str | None) -> Table:
    """Begin a table for the console, whose first column names what stands in a line."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    return table


def _fitting(figures: Sequence[Figure], wide: Sequence[int], width: int) -> list[list[Figure]]:
    """Share columns out over tables that are no wider than asked; a table has one column at least."""
    tables: list[list[Figure]] = []
    left = 0
    for figure, letters in zip(figures, wide, strict=True):
        if not tables or letters + _COLUMN_GAP > left:
            tables.append([])
            left = width
        tables[-1].append(figure)
        left -= letters + _COLUMN_GAP
    return tables


def missing_reasons(record: RunRecord) -> dict[str, list[str]]:
    """List why figures are missing, each reason once with the figures it concerns; the reference row's go unsaid.

    Where only some rows lack a figure, they stand behind it in brackets.
    """
    labels = {figure.key: figure.label for figure in record.figures}
    found: dict[str, dict[str, list[str]]] = {}
    rows = [row for row in record.rows if row.name != "real"]
    for row in rows:
        for key, reason in row.missing.items():
            found.setdefault(reason, {}).setdefault(labels.get(key, key), []).append(row.name)
    return {
        reason: [label if len(names) == len(rows) else f"{label} ({', '.join(names)})" for label, names in each.items()]
        for reason, each in found.items()
    }


def html_tables(record: RunRecord) -> str:
    """Lay a record out as HTML: a table for each part, rows downwards, the best in bold, reasons as tooltips."""
    parts = []
    for title, figures in parts_of(record.figures).items():
        figures = [
            figure for figure in figures if any(figure.key in {**row.values, **row.missing} for row in record.rows)
        ]
        heads = "".join(map(html_head, figures))
        best = {figure.key: best_rows(figure, record.rows) for figure in figures}
        lines = [f"<tr><th></th>{heads}</tr>"]
        for row in record.rows:
            cells = "".join(_html_cell(row, figure.key, row.name in best[figure.key]) for figure in figures)
            lines.append(f"<tr><td>{html.escape(row.label)}</td>{cells}</tr>")
        parts.append(f'<h2>{html.escape(title)}</h2><div class="wide"><table>{"".join(lines)}</table></div>')
    return "\n".join(parts)


def html_head(figure: Figure) -> str:
    """Lay the head of a figure's column out as HTML, with its meaning as a tooltip."""
    return (
        f'<th class="number" title="{html.escape(figure.meaning, quote=True)}">{html.escape(figure.label)}'
        f'<br><span class="quiet">{html.escape(figure.unit)} {_ARROWS[figure.better]}</span></th>'
    )


def faceless_rows(record: RunRecord) -> list[str]:
    """Say for which rows a face was missed in some frames: figures of landmarks and faces leave those out."""
    return [
        f"No face was found in {row.faces_missed} of {row.num_frames} frames of the row {row.name!r}."
        for row in record.rows
        if row.faces_missed
    ]


def html_demands(demands: Sequence[DemandRecord]) -> str:
    """Lay demands out as HTML."""
    lines = ["<tr><th>Demand</th><th class='number'>Found</th><th></th></tr>"]
    for demand in demands:
        level, word = ("pass", "met") if demand.met else ("fail", "missed")
        value = "-" if demand.value is None else number(demand.value)
        lines.append(
            f"<tr><td>{html.escape(demand.text)}</td><td class='number'>{value}</td>"
            f'<td><span class="level {level}">{word}</span></td></tr>'
        )
    return f"<table>{''.join(lines)}</table>"


_ARROWS = {"higher": "↑", "lower": "↓", "nearer 1": "→1", "nearer 0": "→0", "neither": ""}


def _cell(row: RowRecord, key: str) -> str:
    return number(row.values[key]) if key in row.values else "-"


def _html_cell(row: RowRecord, key: str, is_best: bool) -> str:
    hint = row.missing.get(key) or row.notes.get(key, "")
    title = f' title="{html.escape(hint, quote=True)}"' if hint else ""
    return f'<td class="number{" best" if is_best else ""}"{title}>{_cell(row, key)}</td>'


def _demand_table(demands: Sequence[DemandRecord]) -> Table:
    table = Table(title="Demands", title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("demand", overflow="fold")
    table.add_column("found", justify="right")
    table.add_column("")
    for demand in demands:
        word = "[green]met[/green]" if demand.met else "[red]missed[/red]"
        table.add_row(demand.text.replace("[", r"\["), "-" if demand.value is None else number(demand.value), word)
    return table


def unmet(demands: Sequence[DemandRecord]) -> int:
    """Count the demands that are not met."""
    return sum(not demand.met for demand in demands)
