"""`evaluation.html`: tables, video with sound, worst frames, curves; one file that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

from ns_talking.evaluation.comparison import Group, joined
from ns_talking.evaluation.comparison_tables import html_comparison
from ns_talking.evaluation.pictures import GAIN, poster
from ns_talking.evaluation.plots import lag_plot, opening_plot
from ns_talking.evaluation.record import RunRecord
from ns_talking.evaluation.runner import Evaluated, file_name
from ns_talking.evaluation.tables import faceless_rows, html_demands, html_tables, missing_reasons, unmet
from ns_talking.utils.html_page import Picture, Section, document, named_values, section

_REFERENCES = (
    "real frames say what a measure gives at best, the mean face what an image that knows nothing of the sound reaches"
)
_VOICES = "real frames say what a measure gives with the clip's own voice; images are compared with the frame lent"


def run_page(evaluated: Evaluated) -> str:
    """Write the page of one portrait."""
    record = evaluated.record
    parts = [f"<p>{html.escape(_summary(record))}</p>", f"<p class='quiet'>{html.escape(_how_to_read(record))}</p>"]
    if record.demands:
        parts.append(f"<h2>Demands</h2>{html_demands(record.demands)}")
    parts.append(html_tables(record))
    parts += [_shown(evaluated, name) for name in evaluated.shown]
    parts += [_missing([record]), _definitions(record), named_values("Circumstances", record.circumstances)]
    return document(f"{record.name}: {record.title}", parts)


def comparison_page(runs: Sequence[Evaluated], groups: Sequence[Group], row: str, links: Sequence[str]) -> str:
    """Write the page that sets several portraits side by side.

    Args:
        runs: The evaluations.
        groups: Of the same settings.
        row: The row whose best mean is bold.
        links: Page of each run, relative to this one.
    """
    first = runs[0].record
    text = (
        f"{len(runs)} trainings, {len(groups)} settings. Values are means; ± is the standard deviation between seeds, "
        f"or between datasets where there are several. Bold is the best mean of the row {row!r}. Real frames and "
        "baselines stand first: they are the same for every training of a dataset."
    )
    common = joined([run.record for run in runs])
    tables = html_comparison(groups, common, first.figures, first.rows, row)
    parts = [f"<p>{html.escape(text)}</p>", tables]
    shown = [(run, name) for run in runs for name in run.shown[:1]]
    if shown:
        parts.append(f"<h2>Side by side</h2><p>{_what_is_shown(bool(shown[0][0].record.rows[-1].voice))}</p>")
    for run, name in shown:
        parts += [f"<p>{html.escape(f'{run.record.name}, {name}')}</p>", _video(run.folder / "work" / file_name(name))]
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
    parts += [_missing([run.record for run in runs]), _definitions(first)]
    parts.append(named_values("Circumstances", first.circumstances))
    return document(f"Comparison: {first.title}", parts)


def _how_to_read(record: RunRecord) -> str:
    references = _VOICES if record.rows and record.rows[-1].voice else _REFERENCES
    return (
        f"Read a value beside the rows above and below it: {references}, and the rows with wrong sound what the "
        "portrait owes to listening. Bold is the best of those that compete; point at a head or a cell for its "
        "meaning or its reason."
    )


def _summary(record: RunRecord) -> str:
    driven = f"driven by {record.circumstances['voices']}; real frames: " if "voices" in record.circumstances else ""
    text = f"{record.method} on {record.dataset}, {driven}{record.circumstances.get('frames', '')}."
    if record.demands:
        missed = unmet(record.demands)
        text += f" {missed} of {len(record.demands)} demands are missed." if missed else " All demands are met."
    return text


def _what_is_shown(other_voice: bool) -> str:
    if not other_voice:
        return f"Real, rendered, difference. The difference is {GAIN} times as bright as it is."
    return (
        "The real frame that lends its pose, rendered, difference. The lips should follow the sound, not that frame: "
        f"there the pictures have to differ. The difference is {GAIN} times as bright as it is."
    )


def _shown(evaluated: Evaluated, name: str) -> str:
    record = evaluated.record
    row = record.row(name)
    assert row is not None
    folder, curves = evaluated.folder / "work" / file_name(name), evaluated.curves.get(name, {})
    parts = [f"<h2>{html.escape(row.label)}</h2><p>{_what_is_shown(bool(row.voice))}</p>", _video(folder)]
    sound, start_s = evaluated.heard.get(name, (None, 0.0))
    pictures = []
    lips = "aperture" if "aperture" in curves else "opening"
    for key, label, heard in ((lips, "lips open, eye dist.", sound), ("eyes", "eye aspect ratio", None)):
        content = opening_plot(curves, key, heard, start_s, evaluated.fps, label)
        if content is not None:
            pictures.append(Picture(content, "png", label))
    if pictures:
        text = "The lips should open with the sound, and rest in its pauses."
        text = text if row.voice else "The curves should rise and fall together, and as far."
        parts.append(section(Section("Lips over the sound" if row.voice else "Lips and eyes", text, pictures)))
    if row.voice:
        return "\n".join(parts)
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
    data, picture = (base64.b64encode(content).decode("ascii") for content in (path.read_bytes(), poster(path)))
    return (
        f'<video controls loop preload="auto" poster="data:image/jpeg;base64,{picture}" '
        f'src="data:video/mp4;base64,{data}"></video>'
        # On paper browsers leave a video blank, poster or not.
        f'<img class="printed" alt="the first frame of the video" src="data:image/jpeg;base64,{picture}">'
    )


def _missing(records: Sequence[RunRecord]) -> str:
    """Say once what is missing, and of which frames no face was found."""
    found = {reason: labels for record in records for reason, labels in missing_reasons(record).items()}
    lines = [(", ".join(labels), reason) for reason, labels in found.items()]
    for record in records:
        name = "" if len(records) == 1 else f"{record.name}: "
        lines += [("landmarks, faces", f"{name}{reason}") for reason in faceless_rows(record)]
    if not lines:
        return ""
    cells = "".join(f"<tr><td>{html.escape(what)}</td><td>{html.escape(reason)}</td></tr>" for what, reason in lines)
    return f"<h2>What could not be measured</h2><table>{cells}</table>"


def _definitions(record: RunRecord) -> str:
    lines = "".join(
        f"<tr><td>{html.escape(figure.label)}</td><td>{html.escape(figure.unit)}</td>"
        f"<td>{html.escape(figure.better)}</td><td>{html.escape(figure.meaning)}</td></tr>"
        for figure in record.figures
    )
    head = "<tr><th>Figure</th><th>Unit</th><th>Better</th><th>Meaning</th></tr>"
    return f"<h2>Definitions</h2><table>{head}{lines}</table>"
