"""`ns-talking process VIDEO --output DIR`: from a video of one speaker to a dataset to train on."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.text import Text

from ns_talking.audio.extractors import AUTO, at_hand, feature_extractor
from ns_talking.data.format import SUBJECT
from ns_talking.data.subject import write_subject
from ns_talking.process.face_parser import parser_files
from ns_talking.process.landmarks import LANDMARKS
from ns_talking.process.person_masks import PARSERS
from ns_talking.process.runner import RunResult, StepResult, run_steps
from ns_talking.process.step import ProcessSettings, Workspace
from ns_talking.process.verdicts import read_verdicts
from ns_talking.scripts.consent import asked_subject
from ns_talking.utils.progress import CONSOLE, progress
from ns_talking.utils.registry import lookup
from ns_talking.utils.verdicts import verdict_table


@dataclass
class Process:
    """Turn a video of one speaker into a dataset to train on.

    A run that was interrupted continues where it stopped; a second run does only what other settings require.
    """

    video: tyro.conf.Positional[Path]
    """Video of one person who speaks to the camera, with sound; one to five minutes are best."""
    output: Path
    """Folder of the dataset."""
    size: int = 512
    """Longer side of the frames in px."""
    start: float = 0.0
    """Where in the video to start, in seconds."""
    max_seconds: float | None = None
    """Length to take, in seconds; the whole rest if not given."""
    crop: Literal["auto", "head", "none"] = "auto"
    """`head` cuts a square around the head, `none` takes the whole picture, `auto` cuts where it helps."""
    focal: float | None = None
    """Focal length in px of the finished frames, if you know it; estimated otherwise."""
    landmarks: str = "mediapipe"
    """Landmark detector: `mediapipe` or `face-alignment`."""
    parsing: str = "auto"
    """Parsing backend; `auto` takes the best one whose model is there."""
    face_parser: Path | None = None
    """Folder with a face parser of transformers, such as jonathandinu/face-parsing (config.json, model.safetensors),
    for the eleven classes that ssp-nerf learns from; seconds a frame without a GPU. Left out, landmarks draw them."""
    audio_features: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = ("auto",)
    """Audio features to extract: mel, hubert, wav2vec2, whisper. `auto` takes mel, which needs no model, and hubert
    where its model is installed already; naming hubert downloads it (1.3 GB)."""
    models: Path | None = None
    """Folder with model files, searched before NS_TALKING_MODELS and the cache."""
    subject: Path | None = None
    """JSON file with who is shown, consent, scope and date; you are asked on a terminal. It is kept as subject.json in
    the dataset and written into the manifest of every video."""
    allow_silent: bool = False
    """Accept a video without sound, for poses and masks only."""
    overwrite: bool = False
    """Do everything again, even over the dataset of another video."""

    def main(self) -> None:
        """Run the steps and say what came out.

        Raises:
            ValueError: When an option is out of range, or the video cannot become a dataset.
        """
        begin = time.perf_counter()
        self._check()
        subject = asked_subject(self.subject, self.output.expanduser())
        workspace = Workspace(self.output.expanduser(), self.video.expanduser(), self._settings())
        done: list[str] = []

        def finished(step: StepResult) -> None:
            if subject is not None and not done:
                write_subject(workspace.folder, subject)
            done.append(step.name)
            if not step.skipped:
                CONSOLE.print(f"{step.name} done in {step.seconds:.1f} s", highlight=False)

        _say(f"Reading {self.video}")
        try:
            result = run_steps(workspace, progress, overwrite=self.overwrite, finished=finished)
        except KeyboardInterrupt:
            if subject is not None and workspace.manifest.is_file():
                # Nobody is asked twice.
                write_subject(workspace.folder, subject)
            ready = f"Finished so far: {', '.join(done)}." if done else "No step was finished."
            raise KeyboardInterrupt(f"Interrupted. {ready} The same command continues from there.") from None
        self._conclude(workspace, result, time.perf_counter() - begin)

    def _conclude(self, workspace: Workspace, result: RunResult, seconds: float) -> None:
        for note in result.notes:
            _say(f"Note: {note}")
        verdicts = read_verdicts(workspace)
        if verdicts:
            CONSOLE.print(verdict_table(verdicts))
        folder = workspace.folder
        if not (folder / SUBJECT).is_file():
            _say(f"Note: nobody said who is shown and agreed to it; --subject FILE keeps that as {SUBJECT}.")
        if result.nothing_done:
            _say(f"{folder} is complete and up to date; nothing was done ({seconds:.1f} s).")
        else:
            _say(f"Wrote {folder} in {seconds:.0f} s. Look at {workspace.report} first.")
        _say(f"Next: ns-train er-nerf --data {shlex.quote(str(folder))}")

    def _check(self) -> None:
        if not 64 <= self.size <= 2048:
            raise ValueError(f"--size {self.size} is out of range; 64 to 2048 px are possible, 512 is usual.")
        if self.start < 0:
            raise ValueError(f"--start {self.start:g} is negative; give seconds from the start of the video.")
        if self.max_seconds is not None and self.max_seconds <= 0:
            raise ValueError(f"--max-seconds {self.max_seconds:g} leaves nothing; give a positive number of seconds.")
        if self.focal is not None and self.focal <= 0:
            raise ValueError(f"--focal {self.focal:g} is not a focal length; give px, about 1.7 times --size.")
        if self.models is not None and not self.models.expanduser().is_dir():
            raise FileNotFoundError(f"--models {self.models} is no folder.")
        if self.face_parser is not None:
            parser_files(self.face_parser.expanduser())
        # Names are looked up now, so that a slip of the pen does not cost the minutes before the step that needs it.
        lookup(LANDMARKS, self.landmarks, "landmark detectors")
        for name in self.audio_features:
            if name != AUTO:
                feature_extractor(name)
        if self.parsing != "auto":
            lookup(PARSERS, self.parsing, "parsing backends")

    def _settings(self) -> ProcessSettings:
        return ProcessSettings(
            size=self.size,
            start_s=self.start,
            max_seconds=self.max_seconds,
            crop=self.crop,
            focal=self.focal,
            landmarks=self.landmarks,
            models=self.models,
            parsing=self.parsing,
            face_parser=None if self.face_parser is None else self.face_parser.expanduser(),
            audio_features=at_hand(self.audio_features, self.models),
            allow_silent=self.allow_silent,
        )


def _say(message: str) -> None:
    # Text, not markup: paths may contain square brackets.
    CONSOLE.print(Text(message), soft_wrap=True)
