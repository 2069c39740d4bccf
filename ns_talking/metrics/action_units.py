"""Facial expression errors: action units from OpenFace's tables, and blendshapes under their own name."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from ns_talking.metrics.base import Figure, MeasuredFrame, Measurement, MetricContext

LOWER_UNITS = ("AU10", "AU12", "AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26")
UPPER_UNITS = ("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU45")
LOWER_SHAPES = (6, 7, 8, *range(23, 52))
"""Cheeks, jaw, mouth and nose among MediaPipe's 52 blendshapes."""
UPPER_SHAPES = (*range(1, 6), *range(9, 23))
"""Brows, lids and gaze."""


def read_openface(path: Path, units: tuple[str, ...] = LOWER_UNITS + UPPER_UNITS) -> Float[np.ndarray, "frames units"]:
    """Read the intensities of action units, 0 to 5, from a table that OpenFace's FeatureExtraction wrote.

    Args:
        path: The csv.
        units: Names of the units, in the order of the columns returned.

    Returns:
        NaN in frames where OpenFace states no success.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it holds no intensities of these units.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no table {path}. Run OpenFace's FeatureExtraction with -aus on the video of that name."
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{str(name).strip(): value for name, value in row.items()} for row in csv.DictReader(file)]
    columns = [f"{unit}_r" for unit in units]
    absent = [name for name in columns if not rows or name not in rows[0]]
    if absent:
        raise ValueError(
            f"{path} is not a table of OpenFace with intensities of action units: it lacks {', '.join(absent)}. "
            "Run FeatureExtraction with -aus."
        )
    table = np.array([[float(row[name]) for name in columns] for row in rows])
    failed = [float(row.get("success", "1") or 0) == 0 for row in rows]
    table[np.array(failed)] = np.nan
    return table


def expression_error(
    rendered: Float[np.ndarray, "frames units"], real: Float[np.ndarray, "frames units"]
) -> Float[np.ndarray, " frames"]:
    """Sum the squared differences of all units of each frame; NaN where either is unknown.

    Source:
        The action unit error (AUE) of AD-NeRF's successors as TalkingGaussian's release computes it: the mean over
        frames of the squared difference, summed over the units.
    """
    return np.square(rendered - real).sum(axis=1)


class ActionUnitError:
    """AUE from OpenFace's tables of the rendered and the real video."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("aue_lower", "AUE-L", "", "lower", "Sum over 9 lower action units of mean squared errors (OpenFace)."),
        Figure("aue_upper", "AUE-U", "", "lower", "Sum over 8 upper action units of mean squared errors (OpenFace)."),
    )
    needs_real: ClassVar[bool] = True

    def __init__(self, context: MetricContext) -> None:
        if context.action_units is None:
            raise FileNotFoundError(
                "OpenFace's tables are missing. Run its FeatureExtraction with -aus on the videos in the folder "
                "`videos` of the evaluation, put the csv files into one folder and name it: --openface DIR"
            )
        self._tables = tuple(read_openface(path) for path in context.action_units)
        self._indices: list[int] = []

    def add(self, frame: MeasuredFrame) -> None:
        """Note which frame it is; the tables hold the rest, a row per frame of the videos."""
        self._indices.append(frame.index)

    def result(self) -> Measurement:
        """State the errors of lower and upper face.

        Raises:
            ValueError: When the tables belong to videos of other lengths.
        """
        lengths = [len(table) for table in self._tables]
        num_frames = self._indices[-1] - self._indices[0] + 1 if self._indices else 0
        if set(lengths) != {num_frames}:
            raise ValueError(
                f"OpenFace's tables have {lengths[0]} and {lengths[1]} rows, the videos {num_frames} frames. "
                "Make them from the videos of this very evaluation."
            )
        rendered, real = (table[np.array(self._indices) - self._indices[0]] for table in self._tables)
        border = len(LOWER_UNITS)
        curves = {
            "aue_lower": expression_error(rendered[:, :border], real[:, :border]),
            "aue_upper": expression_error(rendered[:, border:], real[:, border:]),
        }
        if not np.isfinite(curves["aue_lower"]).any():
            return Measurement(missing=dict.fromkeys(curves, "OpenFace succeeded in no frame of both videos."))
        return Measurement({key: float(np.nanmean(curve)) for key, curve in curves.items()}, curves=curves)


class BlendshapeError:
    """The same sum over MediaPipe's blendshapes: our stand-in where there is no OpenFace, on another scale."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("blendshapes_lower", "blendshapes-L", "", "lower", "Sum over 32 lower blendshapes of squared errors."),
        Figure("blendshapes_upper", "blendshapes-U", "", "lower", "Sum over 19 upper blendshapes of squared errors."),
    )
    needs_real: ClassVar[bool] = True

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._found: dict[str, list[float]] = {figure.key: [] for figure in self.figures}

    def add(self, frame: MeasuredFrame) -> None:
        """Compare the expressions of one frame."""
        ours = frame.rendered.blendshapes
        theirs = None if frame.real is None else frame.real.blendshapes
        for figure, chosen in zip(self.figures, (LOWER_SHAPES, UPPER_SHAPES), strict=True):
            error = float("nan")
            if ours is not None and theirs is not None:
                rows = [shape[None, list(chosen)].astype(np.float64) for shape in (ours, theirs)]
                error = float(expression_error(*rows)[0])
            self._found[figure.key].append(error)

    def result(self) -> Measurement:
        """State the means over frames."""
        curves = {key: np.array(values) for key, values in self._found.items()}
        if not any(np.isfinite(curve).any() for curve in curves.values()):
            reason = f"{self._context.landmarks} gave no blendshapes for a frame of both videos."
            return Measurement(missing=dict.fromkeys(curves, reason))
        return Measurement({key: float(np.nanmean(curve)) for key, curve in curves.items()}, curves=curves)
