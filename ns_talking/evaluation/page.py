"""`evaluation.html`: tables, video with sound, worst frames, curves; one file that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

from ns_talking.evaluation.comparison import Group
from ns_talking.evaluation.plots import lag_plot, opening_plot
from ns_talking.evaluation.record import RunRecord
from ns_talking.evaluation.runner import Evaluated, file_name
from ns_talking.evaluation.tables import html_comparison, html_demands, html_tables, missing_reasons, unmet
from ns_talking.utils.html_page import Picture, Section, document, named_values, section

_HOW_TO_READ = (
    "Read a value beside the rows above and below it: real frames say what a measure gives at best, the mean face what "
    "an image that knows nothing of the sound reaches, and the rows with wrong sound what the portrait owes to "
    "listening. Bold is the best of those that compete; point at a head or a cell for its meaning or its reason."
)


def run_page(evaluated: Evaluated) -> str:
    """Write the page of one portrait."""
    record = evaluated.record
    parts = [f"<p>{html.escape(_summary(record))}</p>", f"<p class='quiet'>{html.escape(_HOW_TO_READ)}</p>"]
    if record.demands:
        parts.append(f"<h2>Demands</h2>{html_demands(record.demands)}")
    parts.append(html_tables(record))
    parts += [_shown(evaluated, name) for name in evaluated.shown]
    parts += [_missing(record), _definitions(record), named_values("Circumstances", record.circumstances)]
    return document(f"{record.name}: {record.title}", parts)


def comparison_page(runs: Sequence[Evaluated], groups: Sequence[Group], row: str, links: Sequence[str]) -> str:
    """Write the page that sets several portraits side by side.

    Args:
        runs: The evaluations.
        groups: Of the same settings.
        row: The row that is compared.
        links: Page of each run, relative to this one.
    """
    first = runs[0].record
    text = (
        f"{len(runs)} trainings, {len(groups)} settings. Values are means of the row {row!r}; ± is the standard "
        "deviation between seeds, or between datasets where there are several. Bold is the best mean."
    )
    parts = [f"<p>{html.escape(text)}</p>", html_comparison(groups, first.figures, row)]
    parts.append("<h2>Side by side</h2><p>Real, rendered, difference (three times as bright).</p>")
    for run in runs:
        if row in run.shown:
            parts += [f"<p>{html.escape(run.record.name)}</p>", _video(run.folder / "work" / file_name(row))]
    rows = "".join(
        f'<tr><td><a href="{html.escape(link, quote=True)}">{html.escape(run.record.name)}</a></td>'
        f"<td>{html.escape(run.record.dataset)}</td><td class='number'>{run.record.seed}</td>"
        f"<td class='number'>{unmet(run.record.demands)} of {len(run.record.demands)}</td></tr>"
        for run, link in zip(runs, links, strict=True)
    )
    head = (
        "<tr><th>Training</th><th>Dataset</th><th class='number'>Seed</th><th class='number'>Demands missed</th></tr>"
    )
    parts.append(f"<h2>Trainings</h2><table>{head}{rows}</table>")
    parts += [_definitions(first), named_values("Circumstances", first.circumstances)]
    return document(f"Comparison: {first.title}", parts)


def _summary(record: RunRecord) -> str:
    text = f"{record.method} on {record.dataset}, {record.circumstances.get('frames', '')}."
    if record.demands:
        missed = unmet(record.demands)
        text += f" {missed} of {len(record.demands)} demands are missed." if missed else " All demands are met."
    return text


def _shown(evaluated: Evaluated, name: str) -> str:
    record = evaluated.record
    row = record.row(name)
    assert row is not None
    folder, curves = evaluated.folder / "work" / file_name(name), evaluated.curves.get(name, {})
    parts = [
        f"<h2>{html.escape(row.label)}: real, rendered, difference</h2>"
        "<p>The difference is three times as bright as it is.</p>",
        _video(folder),
    ]
    pictures = []
    openings = (("aperture", "lips open, eye distances", evaluated.sound), ("eyes", "eye aspect ratio", None))
    for key, label, sound in openings:
        content = opening_plot(curves, key, sound, evaluated.start_s, evaluated.fps, label)
        if content is not None:
            pictures.append(Picture(content, "png", f"{label}, real and rendered"))
    if pictures:
        parts.append(
            section(Section("Lips and eyes", "The curves should rise and fall together, and as far.", pictures))
        )
    histogram = lag_plot(curves, evaluated.fps)
    if histogram is not None:
        text = "Delays of windows of two seconds. A peak away from zero is an offset; no peak means no synchrony."
        parts.append(section(Section("Delays", text, [Picture(histogram, "png", "histogram of delays")])))
    for file, title, text in (
        ("worst.jpg", "Worst mouths", "Frames whose mouths are furthest off, worst first: real, rendered, difference."),
        ("errors.jpg", "Where errors lie", _error_text(folder)),
    ):
        if (folder / file).is_file():
            parts.append(section(Section(title, text, [Picture((folder / file).read_bytes(), "jpeg", text)])))
    return "\n".join(parts)


def _error_text(folder: Path) -> str:
    path = folder / "errors.json"
    top = json.loads(path.read_text(encoding="utf-8"))["brightest_levels"] if path.is_file() else 0.0
    return f"Mean absolute error on the aligned face; the brightest colour is {top:.0f} of 255 grey levels."


def _video(folder: Path) -> str:
    path = folder / "side_by_side.mp4"
    if not path.is_file():
        return "<p>No video was kept.</p>"
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<video controls loop preload="auto" src="data:video/mp4;base64,{data}"></video>'


def _missing(record: RunRecord) -> str:
    found = missing_reasons(record)
    if not found:
        return ""
    lines = "".join(
        f"<tr><td>{html.escape(', '.join(labels))}</td><td>{html.escape(reason)}</td></tr>"
        for reason, labels in found.items()
    )
    return f"<h2>What could not be measured</h2><table>{lines}</table>"


def _definitions(record: RunRecord) -> str:
    lines = "".join(
        f"<tr><td>{html.escape(figure.label)}</td><td>{html.escape(figure.unit)}</td>"
        f"<td>{html.escape(figure.better)}</td><td>{html.escape(figure.meaning)}</td></tr>"
        for figure in record.figures
    )
    head = "<tr><th>Figure</th><th>Unit</th><th>Better</th><th>Meaning</th></tr>"
    return f"<h2>Definitions</h2><table>{head}{lines}</table>"
