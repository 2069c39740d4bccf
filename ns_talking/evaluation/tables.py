"""Tables: figures against rows, on the console and in HTML, with footnotes for what is missing."""

from __future__ import annotations

import html
from collections.abc import Sequence

from rich.table import Table

from ns_talking.evaluation.comparison import Group, Spread
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
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 2 else 3 if size >= 0.01 or size == 0 else 5
    return f"{0.0 if round(value, digits) == 0 else value:.{digits}f}"


def best_rows(figure: Figure, rows: Sequence[RowRecord]) -> set[str]:
    """Name the rows with the best value of a figure among those that compete."""
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


def console_tables(record: RunRecord) -> list[Table]:
    """Lay the figures that are looked at first out for the console, rows downwards; the page has them all."""
    known = {figure.key: figure for figure in record.figures}
    figures = [known[key] for key in HEADLINES if any(key in row.values for row in record.rows) and key in known]
    table = Table(title=record.title, title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    for figure in figures:
        table.add_column(f"{figure.label} {figure.unit}".strip(), justify="right", overflow="fold", min_width=5)
    best = {figure.key: best_rows(figure, record.rows) for figure in figures}
    for row in record.rows:
        cells = [_cell(row, figure.key) for figure in figures]
        marked = zip(cells, figures, strict=True)
        cells = [f"[bold]{cell}[/bold]" if row.name in best[figure.key] else cell for cell, figure in marked]
        table.add_row(row.name, *cells)
    return [table, _demand_table(record.demands)] if record.demands else [table]


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
        heads = "".join(
            f'<th class="number" title="{html.escape(figure.meaning, quote=True)}">{html.escape(figure.label)}'
            f'<br><span class="quiet">{html.escape(figure.unit)} {_ARROWS[figure.better]}</span></th>'
            for figure in figures
        )
        best = {figure.key: best_rows(figure, record.rows) for figure in figures}
        lines = [f"<tr><th></th>{heads}</tr>"]
        for row in record.rows:
            cells = "".join(_html_cell(row, figure.key, row.name in best[figure.key]) for figure in figures)
            lines.append(f"<tr><td>{html.escape(row.label)}</td>{cells}</tr>")
        parts.append(f'<h2>{html.escape(title)}</h2><div class="wide"><table>{"".join(lines)}</table></div>')
    return "\n".join(parts)


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


def comparison_table(groups: Sequence[Group], figures: Sequence[Figure], row: str) -> Table:
    """Lay groups of runs out for the console: figures downwards, settings to the right."""
    table = Table(title=f"Comparison, {row}", title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    for group in groups:
        table.add_column(f"{group.label} ({len(group.runs)})", justify="right", overflow="fold")
    for figure in figures:
        cells = [spread_text(group.values.get(row, {}).get(figure.key)) for group in groups]
        if any(cell != "-" for cell in cells):
            table.add_row(f"{figure.label} {figure.unit}".strip(), *cells)
    return table


def html_comparison(groups: Sequence[Group], figures: Sequence[Figure], row: str) -> str:
    """Lay groups of runs out as HTML: settings downwards, a table for each part."""
    parts = []
    for title, members in parts_of(figures).items():
        members = [figure for figure in members if any(figure.key in group.values.get(row, {}) for group in groups)]
        if not members:
            continue
        heads = "".join(
            f'<th class="number" title="{html.escape(figure.meaning, quote=True)}">{html.escape(figure.label)}'
            f'<br><span class="quiet">{html.escape(figure.unit)} {_ARROWS[figure.better]}</span></th>'
            for figure in members
        )
        means = [
            RowRecord(str(number_), "", {key: spread.mean for key, spread in group.values.get(row, {}).items()})
            for number_, group in enumerate(groups)
        ]
        best = {figure.key: best_rows(figure, means) for figure in members}
        lines = [f"<tr><th></th><th class='number'>runs</th>{heads}</tr>"]
        for number_, group in enumerate(groups):
            cells = "".join(
                f'<td class="number{" best" if str(number_) in best[figure.key] else ""}">'
                f"{html.escape(spread_text(group.values.get(row, {}).get(figure.key)))}</td>"
                for figure in members
            )
            lines.append(
                f"<tr><td>{html.escape(group.label)}</td><td class='number'>{len(group.runs)}</td>{cells}</tr>"
            )
        parts.append(f'<h2>{html.escape(title)}</h2><div class="wide"><table>{"".join(lines)}</table></div>')
    return "\n".join(parts)


def spread_text(spread: Spread | None) -> str:
    """Write a mean with its deviation."""
    if spread is None:
        return "-"
    return number(spread.mean) if spread.deviation is None else f"{number(spread.mean)} ± {number(spread.deviation)}"


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
