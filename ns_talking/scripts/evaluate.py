"""`ns-talking evaluate`: figures that a reviewer trusts and pictures that a person can judge."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.text import Text

from ns_talking.evaluation.protocol import Protocol, read_protocol
from ns_talking.process.landmarks import LANDMARKS
from ns_talking.utils.files import write_text
from ns_talking.utils.kernel_cache import keep_few_kernels
from ns_talking.utils.progress import CONSOLE
from ns_talking.utils.registry import lookup

if TYPE_CHECKING:
    from ns_talking.evaluation.runner import Evaluated, Options
    from ns_talking.process.landmark_detectors import LandmarkDetector

_PAGE = "evaluation.html"
_SOUNDS = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".mp4", ".mkv", ".mov", ".webm")


@dataclass
class Evaluate:
    """Measure trained portraits, beside real frames, simple baselines and wrong sound.

    Several configs are set side by side: trainings with the same settings give means and spreads over seeds and
    datasets. A row that is done is kept; the same command goes on after an interruption.
    """

    load_config: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="CONFIG [CONFIG ...]")]
    """config.yml of each training, or its folder."""
    protocol: str = "self-reenactment"
    """self-reenactment, quick, cross-driven, or a file of your own; see configs/evaluations."""
    output: Path | None = None
    """Folder for evaluation.json, evaluation.html and the videos; left out, `evaluation` beside the config, and
    outputs/evaluation for several configs."""
    sounds: Path | None = None
    """Folder with the voices of a cross-driven evaluation, or one file."""
    landmarks: str = "mediapipe"
    """Landmark detector: `mediapipe` or `face-alignment`."""
    openface: Path | None = None
    """Folder with OpenFace's tables of the videos of this evaluation, for AUE: real.csv, model.csv and so on."""
    models: Path | None = None
    """Folder with model files, searched before NS_TALKING_MODELS and the cache."""
    data: Path | None = None
    """The dataset, where it was moved; of all configs."""
    max_seconds: float | None = None
    """Length that is measured at most; left out, the protocol's."""
    overwrite: bool = False
    """Measure everything again."""

    def main(self) -> None:
        """Evaluate."""
        protocol = self._checked()
        keep_few_kernels()
        runs = []
        for config_path in self.load_config:
            # One network for each config: a session of several pipelines would need the memory of all of them.
            runs.append(self._evaluate(config_path, protocol))
        if len(runs) > 1:
            self._compare(runs, protocol)

    def _checked(self) -> Protocol:
        """Refuse what cannot work before the seconds that loading takes."""
        from ns_talking.scripts.loading import find_config

        protocol = read_protocol(self.protocol)
        if not self.load_config:
            raise ValueError("--load-config names no config. Name the config.yml of a training.")
        for config_path in self.load_config:
            find_config(config_path)
        lookup(LANDMARKS, self.landmarks, "landmark detectors")
        if self.max_seconds is not None:
            if self.max_seconds <= 0:
                raise ValueError(
                    f"--max-seconds {self.max_seconds:g} leaves nothing to measure. Give a positive number."
                )
            protocol = dataclasses.replace(protocol, max_seconds=self.max_seconds)
        if protocol.kind == "cross-driven" and not self._voices():
            raise ValueError(f"The protocol {protocol.name!r} needs other voices. Name their folder: --sounds DIR")
        if self.openface is not None and not self.openface.is_dir():
            raise FileNotFoundError(f"--openface {self.openface} is no folder.")
        return protocol

    def _voices(self) -> tuple[Path, ...]:
        if self.sounds is None:
            return ()
        if self.sounds.is_file():
            return (self.sounds,)
        if not self.sounds.is_dir():
            raise FileNotFoundError(f"--sounds {self.sounds} is neither a folder nor a file.")
        found = tuple(path for path in sorted(self.sounds.iterdir()) if path.suffix.lower() in _SOUNDS)
        if not found:
            raise ValueError(f"--sounds {self.sounds} holds no sound or video file ({', '.join(_SOUNDS)}).")
        return found

    def _evaluate(self, config_path: Path, protocol: Protocol) -> Evaluated:
        from ns_talking.evaluation.page import run_page
        from ns_talking.evaluation.record import FILE, write_record
        from ns_talking.evaluation.runner import Evaluation
        from ns_talking.evaluation.tables import console_tables, faceless_rows, missing_reasons
        from ns_talking.scripts.loading import find_config, load_portrait, read_config

        path = find_config(config_path)
        config = read_config(path)
        options = self._options(path)
        _say(f"Evaluating {path} by the protocol {protocol.name!r}")
        with self._detector() as detector:
            pipeline = load_portrait(path, self.data)
            evaluated = Evaluation(pipeline, config, path, protocol, detector, options).run()
        write_record(options.output / FILE, [evaluated.record])
        write_text(options.output / _PAGE, run_page(evaluated))
        for table in console_tables(evaluated.record, CONSOLE.width):
            CONSOLE.print(table)
        for text in faceless_rows(evaluated.record):
            _say(text)
        for reason, labels in missing_reasons(evaluated.record).items():
            _say(f"Not measured: {', '.join(labels)}. {reason}")
        _say(f"Wrote {options.output / FILE} and {options.output / _PAGE}")
        return evaluated

    def _compare(self, runs: list[Evaluated], protocol: Protocol) -> None:
        from ns_talking.evaluation.comparison import compared
        from ns_talking.evaluation.comparison_tables import comparison_table
        from ns_talking.evaluation.page import comparison_page
        from ns_talking.evaluation.record import FILE, write_record
        from ns_talking.evaluation.voices import shown_row

        records = [run.record for run in runs]
        groups = compared(records)
        row = shown_row(records[0], protocol.shown)
        output = self._folder()
        write_record(output / FILE, records, [dataclasses.asdict(group) for group in groups])
        links = [Path(os.path.relpath(run.folder / _PAGE, output)).as_posix() for run in runs]
        write_text(output / _PAGE, comparison_page(runs, groups, row, links))
        CONSOLE.print(comparison_table(groups, records[0].figures, row))
        _say(f"Wrote {output / FILE} and {output / _PAGE}")

    def _folder(self) -> Path:
        return (self.output or Path("outputs/evaluation")).expanduser()

    def _options(self, config_path: Path) -> Options:
        from ns_talking.evaluation.runner import Options

        parts = config_path.resolve().parts[-4:-1]
        if len(self.load_config) > 1:
            output = self._folder() / "_".join(parts)
        else:
            output = self.output.expanduser() if self.output else config_path.parent / "evaluation" / self._name()
        return Options(
            output=output,
            models=self.models,
            openface=self.openface,
            sounds=self._voices(),
            overwrite=self.overwrite,
        )

    def _name(self) -> str:
        return Path(self.protocol).stem

    def _detector(self) -> LandmarkDetector:
        return lookup(LANDMARKS, self.landmarks, "landmark detectors")(self.models)


def _say(message: str) -> None:
    # Text, not markup: paths may contain square brackets.
    CONSOLE.print(Text(message), soft_wrap=True)
