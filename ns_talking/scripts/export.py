"""`ns-talking export DATASET --format ad-nerf --output DIR`: a dataset in the layout that other tools read."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.text import Text

from ns_talking.data.ad_nerf_format import TRAIN_TRANSFORMS, read_ad_nerf
from ns_talking.data.format import Portrait, check, read_portrait
from ns_talking.export import EXPORTERS
from ns_talking.utils.progress import CONSOLE, progress
from ns_talking.utils.registry import lookup


@dataclass
class Export:
    """Write a dataset in the layout that other tools read."""

    dataset: tyro.conf.Positional[Path]
    """Folder of a portrait, of ours or of the AD-NeRF family."""
    output: Path
    """Folder to write; it must not exist."""
    format: str = "ad-nerf"
    """Layout to write: `ad-nerf`, which RAD-NeRF, ER-NeRF and SyncTalk read as well."""

    def main(self) -> None:
        """Read, convert, write."""
        exporter = lookup(EXPORTERS, self.format, "export formats")
        portrait = _read(self.dataset.expanduser())
        output = self.output.expanduser()
        _say(f"Read {portrait.folder}: {len(portrait.frames)} frames, {portrait.width}x{portrait.height} px")
        with progress("Exporting", total=len(portrait.frames), unit="frames") as advance:
            exporter(portrait, output, advance)
        _say(f"Wrote {output} ({self.format})")
        _say(f"Next: ns-train er-nerf --data {shlex.quote(str(output))} {self.format}")


def _read(folder: Path) -> Portrait:
    if (folder / TRAIN_TRANSFORMS).is_file():
        portrait = read_ad_nerf(folder)
        check(portrait)
        return portrait
    return read_portrait(folder)


def _say(message: str) -> None:
    # Text, not markup: paths may contain square brackets.
    CONSOLE.print(Text(message), soft_wrap=True)
