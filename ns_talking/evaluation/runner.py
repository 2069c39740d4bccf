"""Evaluating one trained portrait: row after row, each kept as soon as it is done."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from ns_talking.data.landmarks import scheme
from ns_talking.evaluation import ROWS, SYNTHETIC
from ns_talking.evaluation.cost import FIGURES as COST_FIGURES
from ns_talking.evaluation.cost import cost_of
from ns_talking.evaluation.demands import judge
from ns_talking.evaluation.faces import FaceFinder, FaceTable
from ns_talking.evaluation.measuring import MeasuredRow, RowMeter, measure_rows
from ns_talking.evaluation.pictures import RowPictures
from ns_talking.evaluation.protocol import Protocol, RowName, Torso
from ns_talking.evaluation.record import RowRecord, RunRecord
from ns_talking.evaluation.subject import Image, Subject
from ns_talking.evaluation.voices import over_voices, voice_row
from ns_talking.metrics.base import MetricContext
from ns_talking.pipelines.origin import portrait_origin
from ns_talking.process.landmark_detectors import LandmarkDetector
from ns_talking.process.models import MODELS, find_model, installed_model
from ns_talking.provenance.marking import Mark, make_mark
from ns_talking.utils.files import atomic_path, sha256, write_json
from ns_talking.utils.images import write_image
from ns_talking.utils.progress import CONSOLE, progress
from ns_talking.utils.registry import lookup
from ns_talking.utils.source import commit

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig

    from ns_talking.pipelines.portrait import PortraitPipeline, PortraitPipelineConfig

_VERSION = 3
"""Raised when the same frames would give other figures; rows of older versions are measured again."""
_PARTS = {
    "test": "the test part of the clip",
    "validation": "the end of the training part, which settings are chosen on; no figure for a report",
}
VIDEO_SECONDS = 60.0
"""Length of the side-by-side video at most, so that the page stays small."""


@dataclass(frozen=True)
class Options:
    """What a user chooses besides the protocol."""

    output: Path
    """Folder of the evaluation."""
    models: Path | None = None
    openface: Path | None = None
    """Folder of OpenFace's tables, named as the videos are."""
    sounds: tuple[Path, ...] = ()
    """What drives the portrait in a cross-driven evaluation."""
    overwrite: bool = False


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation left: the record, and where its pictures are."""

    record: RunRecord
    folder: Path
    curves: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """By row, then by name."""
    shown: tuple[str, ...] = ()
    """Rows with pictures, in `work/ROW`."""
    heard: Mapping[str, tuple[Path, float]] = field(default_factory=dict)
    """By such a row: the sound that drives it, and where in it the frames begin, in s."""
    fps: float = 25.0


class Evaluation:
    """Evaluates one portrait by one protocol."""

    def __init__(
        self,
        pipeline: PortraitPipeline,
        config: TrainerConfig,
        config_path: Path,
        protocol: Protocol,
        detector: LandmarkDetector,
        options: Options,
    ) -> None:
        self._pipeline, self._config, self._config_path = pipeline, config, config_path
        self._protocol, self._detector, self._options = protocol, detector, options
        self._finder = FaceFinder(detector)
        self._layout = scheme(detector.scheme)
        self._unavailable: dict[str, str] = {}
        self._rows: list[MeasuredRow] = []
        self._shown: list[str] = []
        self._heard: dict[str, tuple[Path, float]] = {}
        self._mark: Mark | None = None
        self._sound = pipeline.datamanager.eval_dataset.portrait.audio

    def run(self) -> Evaluated:
        """Measure all rows, or what an earlier run left of them."""
        clip = Subject.held_out(self._pipeline, self._protocol.max_seconds)
        if self._protocol.kind == "self-reenactment":
            self._measure(clip, self._protocol.rows, self._sound, "clip")
        else:
            self._cross_driven(clip)
        rows = [row.record for row in self._rows]
        rows += over_voices([row for row in rows if row.rendered]) if len(self._options.sounds) > 1 else []
        record = RunRecord(
            name=run_name(self._config),
            method=str(self._config.method_name),
            dataset=Path(clip.test.portrait.folder).name,
            settings=settings_key(self._config),
            seed=self._config.machine.seed,
            protocol=self._protocol.name,
            title=self._protocol.title,
            figures=[*self._protocol.figures, *COST_FIGURES],
            rows=rows,
            demands=judge(self._protocol, rows),
            circumstances=self._circumstances(clip),
        )
        return Evaluated(
            record,
            self._options.output,
            {row.record.name: dict(row.curves) for row in self._rows},
            tuple(self._shown),
            self._heard,
            clip.fps,
        )

    def _cross_driven(self, clip: Subject) -> None:
        """Let every sound drive the portrait; the real frames with their own sound stand first."""
        self._measure(clip, tuple(row for row in self._protocol.rows if row.base == "real"), self._sound, "clip")
        others = tuple(row for row in self._protocol.rows if row.base not in ("real", "re-encoded"))
        for sound in self._options.sounds:
            features = self._work("features") / f"{sound.name}.npy"
            track = self._pipeline.set_audio(sound, output=features, start_frame=int(clip.indices[0]))
            subject = Subject.driven(self._pipeline, track, self._protocol.max_seconds)
            self._measure(subject, others, sound, sound.name)
        self._pipeline.set_audio(None)

    def _measure(self, subject: Subject, rows: tuple[RowName, ...], sound: Path | None, what: str) -> None:
        """Measure rows of one subject, pass by pass: one rendering serves both torsos."""
        passes: dict[str, list[RowName]] = {}
        for row in rows:
            passes.setdefault(row.base, []).append(row)
        real = None
        for base, names in passes.items():
            records: dict[Torso, tuple[str, str]] = {name.torso: self._names(name, what) for name in names}
            key = self._fingerprint(subject, base, records, sound)
            kept = (
                None
                if self._options.overwrite
                else {torso: self._kept(name, key) for torso, (name, _) in records.items()}
            )
            if kept is not None and all(kept.values()):
                done = {torso: row for torso, row in kept.items() if row is not None}
                CONSOLE.print(f"{base} of {what}: kept from an earlier run", highlight=False)
            else:
                real = real or self._real_faces(subject, what)
                done = self._pass(subject, base, records, sound, real)
                for row in done.values():
                    self._keep(row, key)
            for name in names:
                row = done[name.torso]
                self._rows.append(row)
                if str(name) == self._protocol.shown and row.record.num_frames:
                    self._shown.append(row.record.name)
                    if sound is not None:
                        self._heard[row.record.name] = sound, float(subject.indices[0] / subject.fps)

    def _pass(
        self,
        subject: Subject,
        base: str,
        records: dict[Torso, tuple[str, str]],
        sound: Path | None,
        real: FaceTable,
    ) -> dict[Torso, MeasuredRow]:
        folder = self._options.output / "videos"
        videos: dict[Torso, Path] = {torso: folder / f"{file_name(name)}.mp4" for torso, (name, _) in records.items()}
        meters: dict[Torso, RowMeter] = {
            torso: RowMeter(
                self._protocol.metrics, self._context(subject, name, sound), base == "real", self._unavailable
            )
            for torso, (name, _) in records.items()
        }
        source = lookup(ROWS, base, "rows of an evaluation")
        marks = self._marks(records) if base in SYNTHETIC else {}
        with ExitStack() as stack:
            pictures: dict[Torso, RowPictures] = {}
            shown = RowName.parse(self._protocol.shown)
            if base == shown.base and shown.torso in records:
                path = self._work(file_name(records[shown.torso][0])) / "side_by_side.mp4"
                pictures[shown.torso] = stack.enter_context(
                    RowPictures(subject, path, sound, VIDEO_SECONDS, self._marked(composite=True) if marks else None)
                )
            try:
                images: Iterator[dict[Torso, Image]] = source(subject, tuple(records))
                bar = stack.enter_context(progress(f"{base}", total=len(subject), unit="frames"))
                done = measure_rows(
                    subject, images, records, meters, self._finder, real, videos, sound, pictures, bar, marks
                )
            except ValueError as error:
                if base in ("model", "real"):
                    raise
                reason = {figure.key: str(error) for figure in self._protocol.figures}
                empty: dict[Torso, MeasuredRow] = {}
                for torso, (name, label) in records.items():
                    empty[torso] = MeasuredRow(RowRecord(name, label, missing=reason))
                return empty
        for torso, collected in pictures.items() if self._protocol.kind == "self-reenactment" else ():
            folder = self._work(file_name(records[torso][0]))
            heat, top = collected.error_map()
            _write_image(folder / "worst.jpg", collected.worst())
            _write_image(folder / "errors.jpg", heat)
            write_json(folder / "errors.json", {"brightest_levels": top})
        if base == "model":
            for torso, row in done.items():
                done[torso] = self._with_cost(subject, row, sound)
        return done

    def _marks(self, torsos: Iterable[Torso]) -> dict[Torso, Mark]:
        """Mark rendered rows; over the real torso they are filmed in parts."""
        return {torso: self._marked(composite=torso == "real") for torso in torsos}

    def _marked(self, composite: bool) -> Mark:
        origin = portrait_origin(self._pipeline, composite)
        made = make_mark(origin) if self._mark is None else dataclasses.replace(self._mark, origin=origin)
        # What is measured, or compared with real frames in one picture, stays as it was rendered.
        self._mark = dataclasses.replace(made, watermark=False)
        return self._mark

    def _with_cost(self, subject: Subject, row: MeasuredRow, sound: Path | None) -> MeasuredRow:
        cost, record = cost_of(subject, row, self._config_path, sound), row.record
        record = dataclasses.replace(
            record,
            values={**record.values, **cost.values},
            notes={**record.notes, **cost.notes},
            missing={**record.missing, **cost.missing},
        )
        return dataclasses.replace(row, record=record)

    def _names(self, row: RowName, what: str) -> tuple[str, str]:
        """Give the name and the label of a row; those of other voices begin with the sound's name."""
        return (str(row), row.label) if what == "clip" else (voice_row(what, str(row)), voice_row(what, row.label))

    def _context(self, subject: Subject, name: str, sound: Path | None) -> MetricContext:
        tables = None
        if self._options.openface is not None:
            tables = (self._options.openface / f"{file_name(name)}.csv", self._options.openface / "real.csv")
        return MetricContext(
            layout=self._layout,
            landmarks=self._detector.version,
            fps=subject.fps,
            sound=sound,
            weights=lambda file: find_model(file, self._options.models, progress),
            action_units=tables,
            device=torch.device(self._pipeline.device),
        )

    def _real_faces(self, subject: Subject, what: str) -> FaceTable:
        key = hashlib.sha256(json.dumps([subject.sources.tolist(), subject.size, self._detector.version]).encode())
        folder = self._work("faces") / f"{file_name(what)}_{key.hexdigest()[:12]}"
        with progress("Faces of the real frames", total=len(subject), unit="frames") as advance:

            def images() -> Iterator[Image]:
                for image in subject.real_images():
                    yield image
                    advance()

            return FaceTable.find(folder, images(), len(subject), self._layout.num_points, self._finder)

    def _fingerprint(
        self, subject: Subject, base: str, records: dict[Torso, tuple[str, str]], sound: Path | None
    ) -> str:
        """Name everything that a row's figures depend on."""
        checkpoint = sorted((self._config_path.parent / "nerfstudio_models").glob("step-*.ckpt"))[-1]
        state = checkpoint.stat()
        tables = sorted(self._options.openface.glob("*.csv")) if self._options.openface else []
        content = [
            _VERSION,
            base,
            None if sound is None else sha256(sound),
            sorted(name for name, _ in records.values()),
            self._protocol.metrics,
            [checkpoint.name, state.st_size, state.st_mtime_ns],
            [subject.indices.tolist(), subject.sources.tolist(), subject.size],
            self._detector.version,
            [name for name in MODELS if installed_model(name, self._options.models)],
            [[path.name, path.stat().st_mtime_ns] for path in tables],
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _kept(self, name: str, key: str) -> MeasuredRow | None:
        folder = self._work(file_name(name))
        path = folder / "row.json"
        if not path.is_file() or not (folder / "curves.npz").is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["key"] != key:
                return None
            with np.load(folder / "curves.npz", allow_pickle=False) as curves:
                return MeasuredRow(RowRecord(**content["row"]), {entry: curves[entry] for entry in curves.files})
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
            CONSOLE.print(f"What an earlier run left in {folder} is damaged, and measured again.", markup=False)
            return None

    def _keep(self, row: MeasuredRow, key: str) -> None:
        folder = self._work(file_name(row.record.name))
        with atomic_path(folder / "curves.npz") as path:
            np.savez(path, **row.curves)
        write_json(folder / "row.json", {"key": key, "row": dataclasses.asdict(row.record)})

    def _work(self, name: str) -> Path:
        folder = self._options.output / "work" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _circumstances(self, clip: Subject) -> dict[str, Any]:
        device = self._pipeline.device
        gpu = torch.cuda.get_device_name(device) if str(device).startswith("cuda") else None
        voices = {"voices": ", ".join(path.name for path in self._options.sounds)} if self._options.sounds else {}
        return {
            **voices,
            "frames": f"{len(clip)} held-out frames, {int(clip.indices[0])} to {int(clip.indices[-1])}",
            "part": _PARTS[_portrait(self._config).datamanager.dataparser.eval_split],
            "size": f"{clip.size[0]} x {clip.size[1]} px",
            "landmarks": self._detector.version,
            "audio features": self._pipeline.audio_identity,
            "iterations": self._config.max_num_iterations,
            "commit": commit() or "installed",
            "device": gpu or f"{device} ({platform.machine()}, {torch.get_num_threads()} threads)",
            "versions": ", ".join(
                f"{name} {importlib.metadata.version(name)}" for name in ("ns-talking", "nerfstudio", "torch")
            ),
        }


def run_name(config: TrainerConfig) -> str:
    """Name a training: what it was called, its method, and when it began."""
    return f"{config.experiment_name}/{config.method_name}/{config.timestamp}"


def settings_key(config: TrainerConfig) -> str:
    """Tell trainings with the same settings; data, seed and names do not count."""
    pipeline = _portrait(config)
    text = [config.method_name, config.max_num_iterations, pipeline.model, pipeline.phases]
    text.append(dataclasses.replace(pipeline.datamanager, data=None, dataparser=None, seed=None))
    return hashlib.sha256(repr(text).encode()).hexdigest()[:12]


def _portrait(config: TrainerConfig) -> PortraitPipelineConfig:
    return config.pipeline  # pyright: ignore[reportReturnType] # read_config has refused every other pipeline.


def file_name(row: str) -> str:
    """Turn the name of a row into that of a file."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in row)


def _write_image(path: Path, image: Image) -> None:
    with atomic_path(path) as temporary:
        write_image(temporary, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
