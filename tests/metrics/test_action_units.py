"""Action units from OpenFace's tables, and blendshapes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from planted import BLANK, PlantedClip, by_landmarks, measured

from ns_talking.metrics.action_units import (
    LOWER_SHAPES,
    LOWER_UNITS,
    UPPER_SHAPES,
    UPPER_UNITS,
    ActionUnitError,
    BlendshapeError,
    read_openface,
)
from ns_talking.metrics.base import MeasuredFrame, Picture

UNITS = LOWER_UNITS + UPPER_UNITS


def table(path: Path, values: np.ndarray, failed: tuple[int, ...] = ()) -> Path:
    """Write what OpenFace writes: blanks after the commas, presences beside intensities."""
    names = ["frame", " success", *(f" {unit}_r" for unit in UNITS), *(f" {unit}_c" for unit in UNITS)]
    lines = [",".join(names)]
    for number, row in enumerate(values):
        cells = [number + 1, int(number not in failed), *row, *(row > 1)]
        lines.append(", ".join(str(float(cell)) for cell in cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_error_is_the_sum_over_units_of_mean_squares(clip: PlantedClip, tmp_path: Path) -> None:
    real = np.random.default_rng(0).uniform(0, 3, (10, len(UNITS)))
    rendered = real.copy()
    rendered[:, :2] += 0.5
    rendered[:, -1] -= 1.0
    context = dataclasses.replace(
        clip.context, action_units=(table(tmp_path / "a.csv", rendered), table(tmp_path / "b.csv", real, failed=(3,)))
    )
    found = measured(ActionUnitError(context), by_landmarks(clip.points(clip.aperture[:10]))).values
    assert found["aue_lower"] == pytest.approx(2 * 0.25)
    assert found["aue_upper"] == pytest.approx(1.0)


def test_frames_without_success_are_unknown(tmp_path: Path) -> None:
    values = read_openface(table(tmp_path / "a.csv", np.ones((3, len(UNITS))), failed=(1,)))
    assert np.isnan(values[1]).all() and (values[[0, 2]] == 1).all()


def test_tables_of_another_video_are_refused(clip: PlantedClip, tmp_path: Path) -> None:
    both = table(tmp_path / "a.csv", np.ones((3, len(UNITS))))
    metric = ActionUnitError(dataclasses.replace(clip.context, action_units=(both, both)))
    with pytest.raises(ValueError, match="3 and 3 rows, the videos 5 frames"):
        measured(metric, by_landmarks(clip.points(clip.aperture[:5])))


def test_another_table_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("frame, gaze_0_x\n1, 0.5\n")
    with pytest.raises(ValueError, match="lacks AU10_r"):
        read_openface(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match="FeatureExtraction"):
        read_openface(tmp_path / "b.csv")


def test_blendshapes_of_lower_and_upper_face_are_told_apart(clip: PlantedClip) -> None:
    assert not set(LOWER_SHAPES) & set(UPPER_SHAPES)
    real, rendered = np.zeros(52), np.zeros(52)
    rendered[25], rendered[9] = 0.5, 0.2  # jawOpen, eyeBlinkLeft
    points = clip.points(clip.aperture[:1])[0]
    frames = [MeasuredFrame(0, 0, Picture(BLANK, points, rendered), Picture(BLANK, points, real))]
    found = measured(BlendshapeError(clip.context), frames).values
    assert found["blendshapes_lower"] == pytest.approx(0.25)
    assert found["blendshapes_upper"] == pytest.approx(0.04)
