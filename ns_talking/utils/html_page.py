"""Pages of HTML that hold their pictures and need nothing else: style, pictures, sections, tables."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fafafa; margin: 0 auto; max-width: 1180px;
       padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem; }
p { margin: .3rem 0 .6rem; } img { max-width: 100%; display: block; border-radius: 4px; margin: .4rem 0; }
table { border-collapse: collapse; width: 100%; background: #fff; }
td, th { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #e4e4e4;
         overflow-wrap: anywhere; }
.level { white-space: nowrap; font-weight: 600; border-radius: 4px; padding: .05rem .5rem; color: #fff; }
.pass { background: #2e8b57; } .warn { background: #c98a00; } .fail { background: #c0392b; }
.quiet { color: #777; } code, pre { background: #eee; border-radius: 4px; padding: .1rem .35rem; }
pre { padding: .6rem .8rem; overflow-x: auto; }
.wide { overflow-x: auto; font-size: 13px; }
.wide td, .wide th { white-space: nowrap; overflow-wrap: normal; padding: .35rem .45rem; }
.wide th.number { white-space: normal; } tr.first td { border-top: 2px solid #bbb; }
.wide td:first-child, .wide th:first-child { position: sticky; left: 0; background: #fff; }
video { max-width: 100%; border-radius: 4px; }
td.number, th.number { text-align: right; overflow-wrap: normal; font-variant-numeric: tabular-nums; }
td.best { font-weight: 700; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #1b1b1b; } table { background: #242424; } td, th { border-color: #3a3a3a; }
  .wide td:first-child, .wide th:first-child { background: #242424; } code, pre { background: #333; }
  img.plot { background: #fff; } }
.printed { display: none; }
@page { size: landscape; margin: 1cm; }
@media print {
  body { max-width: none; padding: 0; font-size: 11px; color: #222; background: #fff; } table { background: #fff; }
  h2, h2 + p { break-after: avoid; } tr, img { break-inside: avoid; } img { max-height: 85vh; }
  .wide { overflow: visible; font-size: 9px; } .wide td, .wide th { white-space: normal; padding: .15rem .2rem; }
  .wide { break-inside: avoid; } .wide td:first-child { overflow-wrap: anywhere; min-width: 12em; }
  .wide td:first-child, .wide th:first-child { position: static; }
  video { display: none; } .printed { display: block; } }
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


def document(title: str, parts: Sequence[str]) -> str:
    """Put the parts of a page under one heading, as a whole document.

    Args:
        title: Heading; text, not HTML.
        parts: HTML.
    """
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", *parts])
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def section(part: Section) -> str:
    """Lay out a section: heading, text, pictures."""
    heading = f"<h2>{html.escape(part.title)}</h2><p>{html.escape(part.text)}</p>"
    return "\n".join([heading, *(image(picture) for picture in part.pictures)])


def named_values(heading: str, rows: Mapping[str, Any]) -> str:  # Any: whatever a setting or a figure is.
    """Lay out a table of names and values under a heading."""
    lines = "".join(
        f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(str(value))}</td></tr>" for name, value in rows.items()
    )
    return f"<h2>{html.escape(heading)}</h2><table>{lines}</table>"


def image(picture: Picture) -> str:
    """Embed a picture."""
    data = base64.b64encode(picture.content).decode("ascii")
    style = ' class="plot"' if picture.kind == "png" else ""
    label = html.escape(picture.label, quote=True)
    return f'<img{style} alt="{label}" title="{label}" src="data:image/{picture.kind};base64,{data}">'
