"""The page of the report: one HTML file that holds its pictures and needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from ns_talking.utils.html_page import Section, document, named_values, section
from ns_talking.utils.verdicts import Verdict


def page(
    title: str,
    summary: str,
    verdicts: Sequence[Verdict],
    sections: Sequence[Section],
    tables: Mapping[str, Mapping[str, Any]],
    next_command: str,
) -> str:
    """Write the page.

    Args:
        title: Heading.
        summary: One sentence under it.
        verdicts: Shown as a table, worst first.
        sections: Pictures with text.
        tables: Titles and their rows of name and value, for settings and versions.
        next_command: What to run next.
    """
    parts = [f"<p>{html.escape(summary)}</p>", verdict_rows(verdicts)]
    parts += [f"<h2>Next</h2><pre>{html.escape(next_command)}</pre>"]
    parts += [section(part) for part in sections]
    return document(title, [*parts, *(named_values(heading, rows) for heading, rows in tables.items())])


def verdict_rows(verdicts: Sequence[Verdict]) -> str:
    """Lay verdicts out as a table of HTML, worst first."""
    order = {"fail": 0, "warn": 1, "pass": 2}
    lines = ["<tr><th>Check</th><th></th><th>Found</th><th>Why, and what to do</th></tr>"]
    for verdict in sorted(verdicts, key=lambda each: order[each.level]):
        advice = f"<br><b>{html.escape(verdict.advice)}</b>" if verdict.advice else ""
        lines.append(
            f'<tr><td>{html.escape(verdict.name)}</td><td><span class="level {verdict.level}">{verdict.level}</span>'
            f"</td><td>{html.escape(verdict.found)}</td>"
            f'<td><span class="quiet">{html.escape(verdict.reason)}</span>{advice}</td></tr>'
        )
    return f"<table>{''.join(lines)}</table>"
