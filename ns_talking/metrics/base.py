"""What a metric is: it is shown frame after frame, keeps little of them, and states its figures at the end.

A *figure* is one number with its unit and its meaning. A figure that cannot be had carries the reason instead: there is
no NaN, and nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from ns_talking.data.landmarks import LandmarkScheme

MEASURED_PX = 512
"""Landmarks are found in frames of this width, whatever the portrait's size, and distances are in its pixels."""

Better = Literal["higher", "lower", "nearer 1", "nearer 0", "neither"]


@dataclass(frozen=True)
class Figure:
    """What one number of a metric means."""

    key: str
    """Name in records, for example `psnr_mouth`."""
    label: str
    """Name in tables."""
    unit: str
    """Empty for pure numbers."""
    better: Better
    meaning: str
    """One sentence: what is measured, and by whose definition."""


@dataclass(frozen=True)
class Picture:
    """One frame and the face found in it."""

    image: UInt8[np.ndarray, "height width 3"]
    points: Float[np.ndarray, "points 3"] | None
    """Landmarks in px of a frame `MEASURED_PX` wide, pixel centres at +0.5; None without a face."""
    blendshapes: Float[np.ndarray, " shapes"] | None = None
    """MediaPipe's 52 coefficients in [0, 1], where the detector has them."""


@dataclass(frozen=True)
class MeasuredFrame:
    """A rendered frame, with the real one of the same instant where there is one."""

    number: int
    """Position among the measured frames, from 0 without gaps."""
    index: int
    """Position in the driving sound, in frames; gaps where a real frame shows no face."""
    rendered: Picture
    real: Picture | None = None
    head: Bool[np.ndarray, "height width"] | None = None
    """Where the real frame shows head or hair."""
    mouth: Int[np.ndarray, "4"] | None = None
    """Pixel box of the real mouth: x0, y0, x1, y1, upper ends excluded."""
    background: Bool[np.ndarray, "height width"] | None = None
    """Where no person is, a margin kept."""

    @property
    def both_faces(self) -> bool:
        """Whether a face was found in both frames."""
        return self.real is not None and self.real.points is not None and self.rendered.points is not None


def _no_weights(name: str) -> Path:
    raise FileNotFoundError(f"The file {name} is missing, and no place to look for it was given.")


@dataclass(frozen=True)
class MetricContext:
    """What all frames of a measurement have in common."""

    layout: LandmarkScheme
    """Scheme of the landmarks."""
    landmarks: str = "MediaPipe"
    """Whose landmarks they are."""
    fps: float = 25.0
    sound: Path | None = None
    """The sound that drives the frames; None where it is not known."""
    sound_start_s: float = 0.0
    """Where in its file the sound of index 0 begins."""
    weights: Callable[[str], Path] = _no_weights
    """Finds a file of weights by its name; raises FileNotFoundError with what to do."""
    action_units: tuple[Path, Path] | None = None
    """OpenFace's tables of the rendered and of the real video."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True)
class Measurement:
    """What a metric found."""

    values: Mapping[str, float] = field(default_factory=dict)
    """By the key of the figure; finite."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Figures that could not be had, and why."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What has to be said beside a value, such as whose landmarks it rests on."""
    curves: Mapping[str, Float[np.ndarray, " frames"]] = field(default_factory=dict)
    """One number per measured frame, NaN where there is none: for plots, and for the worst frames."""


@runtime_checkable
class Metric(Protocol):
    """Measures one row of a table; made anew for each."""

    figures: ClassVar[tuple[Figure, ...]]
    """What it states."""
    needs_real: ClassVar[bool]
    """Whether it compares with real frames."""

    def __init__(self, context: MetricContext) -> None:
        """Load what is needed.

        Raises:
            FileNotFoundError: When weights are missing; the message names the file.
            ImportError: When a package is missing.
        """
        ...

    def add(self, frame: MeasuredFrame) -> None:
        """Look at the next frame."""
        ...

    def result(self) -> Measurement:
        """State the figures of all frames so far."""
        ...


def as_tensor(image: UInt8[np.ndarray, "height width 3"], device: torch.device) -> Float[Tensor, "height width 3"]:
    """Convert bytes to numbers in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).to(device).float() / 255


def all_missing(figures: tuple[Figure, ...], reason: str) -> Measurement:
    """Say of every figure that it could not be had."""
    return Measurement(missing={figure.key: reason for figure in figures})


def finite(values: Mapping[str, float], reason: str) -> Measurement:
    """Keep the finite values, and give the reason for the others."""
    kept = {key: float(value) for key, value in values.items() if np.isfinite(value)}
    return Measurement(values=kept, missing={key: reason for key in values if key not in kept})
