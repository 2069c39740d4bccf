"""Tables of several evaluations: settings against figures, with the rows that a value is judged by."""

from __future__ import annotations

import html
from collections.abc import Sequence

from rich.table import Table

from ns_talking.evaluation.comparison import Group, Spread
from ns_talking.evaluation.record import RowRecord
from ns_talking.evaluation.tables import best_rows, decimals, html_head, number, parts_of, plain_table
from ns_talking.metrics.base import Figure


def comparison_table(groups: Sequence[Group], figures: Sequence[Figure], row: str) -> Table:
    """Lay groups of runs out for the console: figures downwards, settings to the right."""
    table = plain_table(f"Comparison, {row}")
    for group in groups:
        table.add_column(f"{group.label} ({len(group.runs)})", justify="right", overflow="fold")
    for figure in figures:
        cells = [spread_text(group.values.get(row, {}).get(figure.key)) for group in groups]
        if any(cell != "-" for cell in cells):
            table.add_row(f"{figure.label} {figure.unit}".strip(), *cells)
    return table


def html_comparison(
    groups: Sequence[Group], common: Group, figures: Sequence[Figure], rows: Sequence[RowRecord], shown: str
) -> str:
    """Lay groups of runs out as HTML: a table for each part, rows of real frames and baselines first.

    Args:
        groups: Runs with the same settings.
        common: All runs together; what it says of rows that no portrait renders holds for every group.
        figures: What was measured.
        rows: The rows of a run, in order.
        shown: The row whose best mean is bold.
    """
    parts = []
    for title, members in parts_of(figures).items():
        members = [figure for figure in members if any(figure.key in values for values in common.values.values())]
        if not members:
            continue
        best = {figure.key: _best(figure, groups, shown) for figure in members}
        lines = [f"<tr><th></th><th class='number'>runs</th>{''.join(map(html_head, members))}</tr>"]
        rendered = [row for row in rows if row.rendered]
        for row in rows:
            if not row.rendered:
                lines.append(_line(row.label, None, common, row.name, members, {}))
        for place, group in enumerate(groups):
            for row in rendered:
                bold = {key: row.name == shown and place in places for key, places in best.items()}
                label, kind = f"{group.label}: {row.label}", ' class="first"' if row is rendered[0] else ""
                lines.append(_line(label, len(group.runs), group, row.name, members, bold, kind))
        parts.append(f'<h2>{html.escape(title)}</h2><div class="wide"><table>{"".join(lines)}</table></div>')
    return "\n".join(parts)


def spread_text(spread: Spread | None) -> str:
    """Write a mean with its deviation, to the same digit."""
    if spread is None:
        return "-"
    mean = number(spread.mean)
    return mean if spread.deviation is None else f"{mean} ± {spread.deviation:.{decimals(spread.mean)}f}"


def _line(
    label: str,
    count: int | None,
    group: Group,
    row: str,
    figures: Sequence[Figure],
    bold: dict[str, bool],
    kind: str = "",
) -> str:
    values = group.values.get(row, {})
    cells = "".join(
        f'<td class="number{" best" if bold.get(figure.key) else ""}">'
        f"{html.escape(spread_text(values.get(figure.key)))}</td>"
        for figure in figures
    )
    number_ = "" if count is None else count
    return f"<tr{kind}><td>{html.escape(label)}</td><td class='number'>{number_}</td>{cells}</tr>"


def _best(figure: Figure, groups: Sequence[Group], shown: str) -> set[int]:
    """Tell the groups with the best mean of the row that is shown."""
    means = [
        RowRecord(str(place), "", {key: spread.mean for key, spread in group.values.get(shown, {}).items()})
        for place, group in enumerate(groups)
    ]
    return {int(name) for name in best_rows(figure, means)}
