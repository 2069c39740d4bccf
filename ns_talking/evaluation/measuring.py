"""Measuring one row: every frame passes by once, and figures, curves and a video stay."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ns_talking.evaluation.faces import FaceFinder, FaceTable
from ns_talking.evaluation.pictures import RowPictures
from ns_talking.evaluation.protocol import Torso
from ns_talking.evaluation.record import RowRecord
from ns_talking.evaluation.subject import Image, Subject, free_background, head_mask
from ns_talking.metrics import METRICS
from ns_talking.metrics.base import MeasuredFrame, Measurement, Metric, MetricContext, all_missing
from ns_talking.utils.registry import lookup
from ns_talking.utils.video import VideoWriter
from ns_talking.utils.video_mark import VideoMark

_OF_ONE_ROW = ("aue",)
"""What these lack, they lack for this row alone."""
_IS_REFERENCE = "These frames are what the other rows are compared with."


@dataclass(frozen=True)
class MeasuredRow:
    """What one row left."""

    record: RowRecord
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    render_s: float = 0.0
    encode_s: float = 0.0


class RowMeter:
    """Shows frames to all metrics of a row."""

    def __init__(
        self, metrics: Sequence[str], context: MetricContext, is_reference: bool, unavailable: dict[str, str]
    ) -> None:
        """Make the metrics; one whose weights are missing states the reason for each of its figures.

        Args:
            metrics: Names in `METRICS`.
            context: What all frames have in common.
            is_reference: Whether these are the real frames themselves.
            unavailable: Reasons of metrics that could not be made for an earlier row, so that a download that fails
                is not tried once more; filled in here.
        """
        self._metrics: list[Metric] = []
        self._found: list[Measurement] = []
        self._num_frames = self._faces_missed = 0
        for name in metrics:
            kind = lookup(METRICS, name, "metrics")
            if is_reference and kind.needs_real:
                self._found.append(all_missing(kind.figures, _IS_REFERENCE))
                continue
            if name in unavailable:
                self._found.append(all_missing(kind.figures, unavailable[name]))
                continue
            try:
                self._metrics.append(kind(context))
            except (FileNotFoundError, ImportError) as error:
                self._found.append(all_missing(kind.figures, str(error)))
                if name not in _OF_ONE_ROW:
                    unavailable[name] = str(error)

    def add(self, frame: MeasuredFrame) -> None:
        """Show the next frame."""
        self._num_frames += 1
        self._faces_missed += frame.rendered.points is None
        for metric in self._metrics:
            metric.add(frame)

    def result(self, name: str, label: str) -> MeasuredRow:
        """Collect what the metrics found."""
        found = [*self._found, *(metric.result() for metric in self._metrics)]
        record = RowRecord(
            name=name,
            label=label,
            values={key: value for each in found for key, value in each.values.items()},
            missing={key: reason for each in found for key, reason in each.missing.items()},
            notes={key: note for each in found for key, note in each.notes.items()},
            num_frames=self._num_frames,
            faces_missed=self._faces_missed,
        )
        return MeasuredRow(record, {key: curve for each in found for key, curve in each.curves.items()})


def measure_rows(
    subject: Subject,
    images: Iterator[dict[Torso, Image]],
    names: Mapping[Torso, tuple[str, str]],
    meters: Mapping[Torso, RowMeter],
    finder: FaceFinder,
    real: FaceTable | None,
    videos: Mapping[Torso, Path],
    sound: Path | None,
    pictures: Mapping[Torso, RowPictures],
    advance: Callable[[], None],
    marks: Mapping[Torso, VideoMark],
) -> dict[Torso, MeasuredRow]:
    """Measure the rows of one pass over the frames.

    Args:
        subject: What is evaluated.
        images: Its images, one dict of torsos per frame.
        names: Name and label of the row of each torso.
        meters: Its metrics.
        finder: Finds faces in rendered frames.
        real: Faces of the real frames.
        videos: Where to write each row's video.
        sound: The sound of the videos.
        pictures: Collects worst frames and the map of errors, for rows that are shown.
        advance: Told of every frame.
        marks: Say of the videos that they are synthetic; those of real frames have none.
    """
    mouths = subject.mouths()
    render_s = encode_s = 0.0
    width, height = subject.size
    start_s = float(subject.indices[0] / subject.fps)
    with ExitStack() as stack:
        writers = {
            torso: stack.enter_context(
                VideoWriter(
                    path,
                    width,
                    height,
                    subject.fps,
                    sound,
                    audio_start_s=start_s if sound else None,
                    comment="Frames of the clip, or their mean",
                    mark=marks.get(torso),
                )
            )
            for torso, path in videos.items()
        }
        for number, index in enumerate(subject.indices.tolist()):
            began_s = time.perf_counter()
            found = next(images)
            render_s += time.perf_counter() - began_s
            truth = subject.real(number)
            head, background = head_mask(truth), free_background(truth)
            for torso, image in found.items():
                picture = finder.look(image)
                frame = MeasuredFrame(
                    number,
                    index,
                    picture,
                    None if real is None else real.picture(number, np.ascontiguousarray(truth.image)),
                    head,
                    mouths[number],
                    background,
                )
                meters[torso].add(frame)
                if torso in pictures:
                    pictures[torso].add(frame)
                began_s = time.perf_counter()
                # A frame without a face in the dataset is not measured; its place in time is held by the one before.
                ahead = index - int(subject.indices[0]) + 1
                while writers[torso].num_frames < ahead:
                    writers[torso].write(image)
                encode_s += time.perf_counter() - began_s
            advance()
    rows = {}
    for torso, (name, label) in names.items():
        row = meters[torso].result(name, label)
        rows[torso] = MeasuredRow(row.record, row.curves, render_s, encode_s / len(names))
    return rows
