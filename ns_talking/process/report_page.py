"""The page of the report: one HTML file that holds its pictures and needs nothing else."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from ns_talking.process.verdicts import Verdict

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fafafa; margin: 0 auto; max-width: 1180px;
       padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem; }
p { margin: .3rem 0 .6rem; } img { max-width: 100%; display: block; border-radius: 4px; margin: .4rem 0; }
table { border-collapse: collapse; width: 100%; background: #fff; }
td, th { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #e4e4e4; }
.level { font-weight: 600; border-radius: 4px; padding: .05rem .5rem; color: #fff; }
.pass { background: #2e8b57; } .warn { background: #c98a00; } .fail { background: #c0392b; }
.quiet { color: #777; } code, pre { background: #eee; border-radius: 4px; padding: .1rem .35rem; }
pre { padding: .6rem .8rem; overflow-x: auto; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #1b1b1b; } table { background: #242424; } td, th { border-color: #3a3a3a; }
  code, pre { background: #333; } img.plot { background: #fff; } }
"""


@dataclass(frozen=True)
class Picture:
    """One embedded picture."""

    content: bytes
    kind: str
    """`jpeg` or `png`."""
    label: str
    """What it shows; read out where it cannot be seen."""


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    title: str
    text: str
    """One or two sentences above the pictures: what to look for."""
    pictures: Sequence[Picture] = field(default_factory=tuple)


def photo(image: UInt8[np.ndarray, "height width 3"], label: str) -> Picture:
    """Encode an RGB image as JPEG."""
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return Picture(encoded.tobytes(), "jpeg", label)


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
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(summary)}</p>", _verdict_table(verdicts)]
    parts += [f"<h2>Next</h2><pre>{html.escape(next_command)}</pre>"]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2><p>{html.escape(section.text)}</p>")
        parts += [_image(picture) for picture in section.pictures]
    for heading, rows in tables.items():
        lines = "".join(_row(name, value) for name, value in rows.items())
        parts.append(f"<h2>{html.escape(heading)}</h2><table>{lines}</table>")
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _verdict_table(verdicts: Sequence[Verdict]) -> str:
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


def _image(picture: Picture) -> str:
    data = base64.b64encode(picture.content).decode("ascii")
    style = ' class="plot"' if picture.kind == "png" else ""
    label = html.escape(picture.label, quote=True)
    return f'<img{style} alt="{label}" title="{label}" src="data:image/{picture.kind};base64,{data}">'


def _row(name: str, value: Any) -> str:  # Any: whatever a setting or a figure is.
    return f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(str(value))}</td></tr>"
