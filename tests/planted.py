"""Frames of the procedural head with exact landmarks, into which faults of known size are planted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ns_talking.audio.io import write_wav
from ns_talking.data.format import HEAD_REGIONS, Region
from ns_talking.data.landmarks import mouth_box, scheme
from ns_talking.demo.head import HeadRenderer, project
from ns_talking.demo.identity import identity
from ns_talking.demo.motion import blinks, head_poses
from ns_talking.demo.speech import synthesize
from ns_talking.metrics.base import MEASURED_PX, MeasuredFrame, Measurement, Metric, MetricContext, Picture

LAYOUT = scheme("ibug68")
SIZE_PX = 64


@dataclass(frozen=True)
class PlantedClip:
    """What the procedural head does while it speaks."""

    sound: Path
    aperture: np.ndarray
    width: np.ndarray
    blink: np.ndarray
    poses: np.ndarray
    renderer: HeadRenderer
    other: HeadRenderer
    """Another person."""

    @property
    def context(self) -> MetricContext:
        return MetricContext(LAYOUT, landmarks="exact", sound=self.sound)

    def points(self, aperture: np.ndarray) -> np.ndarray:
        """Exact landmarks in px of a frame 512 px wide, for another opening of the lips."""
        found = []
        for index, opening in enumerate(aperture):
            rig = self.renderer.rig
            shape = rig.shape(float(opening), float(self.width[index]), float(self.blink[index]))
            found.append(project(shape[rig.landmarks].astype(np.float64), self.poses[index], MEASURED_PX))
        return np.stack(found)

    def images(self, indices: Sequence[int], other: bool = False) -> list[tuple[np.ndarray, np.ndarray]]:
        """Image and parsing of some frames, also with another person's head."""
        renderer = self.other if other else self.renderer
        drawn = []
        for index in indices:
            mouth = float(self.aperture[index]), float(self.width[index])
            image, parsing, *_ = renderer.frame(*mouth, float(self.blink[index]), self.poses[index])
            drawn.append((image, parsing))
        return drawn


def make_clip(folder: Path, seconds: float = 12.0) -> PlantedClip:
    who = identity("ada")
    samples, mouth = synthesize(seconds, 3, who.voice)
    write_wav(folder / "speech.wav", samples)
    return PlantedClip(
        sound=folder / "speech.wav",
        aperture=mouth.aperture,
        width=mouth.width,
        blink=blinks(mouth.num_frames, 3),
        poses=head_poses(mouth.num_frames, 3),
        renderer=HeadRenderer(who, SIZE_PX),
        other=HeadRenderer(identity("chidi"), SIZE_PX),
    )


BLANK = np.zeros((8, 8, 3), dtype=np.uint8)


def by_landmarks(rendered: np.ndarray, real: np.ndarray | None = None) -> list[MeasuredFrame]:
    """Frames that only have landmarks."""
    return [
        MeasuredFrame(
            number,
            number,
            Picture(BLANK, points if np.isfinite(points).all() else None),
            None if real is None else Picture(BLANK, real[number]),
        )
        for number, points in enumerate(rendered)
    ]


def by_images(
    clip: PlantedClip, rendered: Sequence[np.ndarray], real: Sequence[np.ndarray], parsing: Sequence[np.ndarray]
) -> list[MeasuredFrame]:
    """Frames of images, in the order of the clip from its start."""
    points = clip.points(clip.aperture[: len(rendered)])
    boxes = mouth_box(points, LAYOUT) * (SIZE_PX / MEASURED_PX)
    boxes = np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1).astype(int)
    return [
        MeasuredFrame(
            number,
            number,
            Picture(rendered[number], points[number]),
            Picture(real[number], points[number]),
            np.isin(parsing[number], HEAD_REGIONS),
            boxes[number],
            parsing[number] == Region.BACKGROUND,
        )
        for number in range(len(rendered))
    ]


def measured(metric: Metric, frames: Sequence[MeasuredFrame]) -> Measurement:
    for frame in frames:
        metric.add(frame)
    return metric.result()
