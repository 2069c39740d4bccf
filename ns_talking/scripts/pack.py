"""`ns-talking pack` and `ns-talking unpack`: a trained portrait as one file that renders anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from ns_talking.scripts.loading import PORTRAIT_SUFFIX, find_config, load_portrait, read_config
from ns_talking.utils.progress import CONSOLE


@dataclass
class Pack:
    """Put a trained portrait into one file: weights, settings, tracks, background, a picture, the record of consent.

    `ns-talking render --load-config FILE` renders it on any machine, without the dataset and the folder of the
    training, and gives the same pixels. The file holds numbers and JSON alone: opening a stranger's executes nothing.
    Neither the clip's frames nor its sound go along.
    """

    load_config: Path
    """config.yml that `ns-train` wrote, or its folder."""
    output: Path
    """The file to write, which ends in .portrait."""
    data: Path | None = None
    """The dataset that the portrait was trained on, where it was moved."""

    def main(self) -> None:
        """Load the portrait and write it."""
        if self.output.suffix != PORTRAIT_SUFFIX:
            raise ValueError(f"--output {self.output.name!r} has to end in {PORTRAIT_SUFFIX}.")
        path = find_config(self.load_config)
        method = read_config(path).method_name
        assert method is not None  # Every method of ours has a name.
        from ns_talking.portable.writing import write_portrait

        write_portrait(load_portrait(path, self.data), method, self.output)
        CONSOLE.print(
            f"Wrote {self.output} ({self.output.stat().st_size / 1e6:.1f} MB). Render it anywhere: ns-talking render "
            f"--load-config {self.output} --audio SOUND --output MP4",
            markup=False,
            soft_wrap=True,
        )


@dataclass
class Unpack:
    """Take a .portrait file apart: its settings as JSON, its tracks as arrays, its pictures, its weights.

    The file is checked as it is for rendering; nothing in it is executed, and it names no file that is written.
    """

    file: tyro.conf.Positional[Path]
    """A file that `ns-talking pack` wrote."""
    output: Path
    """The folder to write, new or empty."""

    def main(self) -> None:
        """Check the file and write its parts."""
        from ns_talking.portable.parts import write_parts
        from ns_talking.portable.reading import read_portable

        if self.output.exists() and (not self.output.is_dir() or any(self.output.iterdir())):
            raise ValueError(f"--output {self.output} exists and is not empty. Name a new folder.")
        for part in write_parts(read_portable(self.file), self.output):
            CONSOLE.print(f"Wrote {self.output / part}", markup=False, soft_wrap=True)
