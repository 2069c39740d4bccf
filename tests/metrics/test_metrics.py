"""What holds for every metric of the registry."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from planted import PlantedClip, by_images, by_landmarks, measured

from ns_talking.metrics import METRICS
from ns_talking.metrics.base import Measurement, Metric, MetricContext
from ns_talking.utils.registry import lookup

NEED_FILES = {"lpips", "fid", "aue", "sync", "csim"}
KINDS = {name: lookup(METRICS, name, "metrics") for name in METRICS}
PERFECT = {"higher": 1.0, "nearer 1": 1.0, "lower": 0.0, "nearer 0": 0.0}


def make(name: str, context: MetricContext) -> Metric:
    return KINDS[name](context)


def test_every_figure_has_a_name_of_its_own() -> None:
    keys = [figure.key for kind in KINDS.values() for figure in kind.figures]
    assert len(set(keys)) == len(keys)
    assert all(figure.label and figure.meaning.endswith(".") for kind in KINDS.values() for figure in kind.figures)


@pytest.mark.parametrize("name", [name for name in METRICS if name not in NEED_FILES])
def test_every_figure_has_a_finite_value_or_a_reason(clip: PlantedClip, name: str) -> None:
    real, parsing = zip(*clip.images(range(8)), strict=True)
    frames = [by_images(clip, real, real, parsing), by_landmarks(clip.points(clip.aperture))]
    for some in frames[: 1 if KINDS[name].needs_real else 2]:
        found = measured(make(name, clip.context), some)
        assert isinstance(found, Measurement)
        assert set(found.values) | set(found.missing) == {figure.key for figure in KINDS[name].figures}
        assert not set(found.values) & set(found.missing)
        assert np.isfinite(list(found.values.values())).all()
        assert all(reason.endswith(".") for reason in found.missing.values())


@pytest.mark.parametrize("name", [name for name in METRICS if name not in NEED_FILES and KINDS[name].needs_real])
def test_a_real_frame_is_perfect(clip: PlantedClip, name: str) -> None:
    real, parsing = zip(*clip.images(range(8)), strict=True)
    still = by_images(clip, real, real, parsing)
    moving = by_landmarks(clip.points(clip.aperture), clip.points(clip.aperture))
    frames = still if name in ("psnr", "ssim", "ms_ssim", "likeness") else moving
    shapes = np.linspace(0, 1, 52)
    frames = [
        dataclasses.replace(
            frame,
            rendered=dataclasses.replace(frame.rendered, blendshapes=shapes),
            real=dataclasses.replace(frame.real, blendshapes=shapes),
        )
        for frame in frames
    ]
    found = measured(make(name, clip.context), frames)
    # A mouth of a dozen pixels has no room for a second scale.
    assert set(found.missing) <= {"ms_ssim_mouth"}
    for figure in KINDS[name].figures:
        if figure.key in found.missing:
            continue
        if figure.key.startswith("psnr"):
            assert found.values[figure.key] == 100
        elif figure.key != "aperture_low" and figure.better in PERFECT:
            assert found.values[figure.key] == pytest.approx(PERFECT[figure.better], abs=1e-5), figure.key


@pytest.mark.parametrize("name", [name for name in METRICS if KINDS[name].needs_real and name not in NEED_FILES])
def test_no_face_is_a_reason_and_never_a_number(clip: PlantedClip, name: str) -> None:
    if name in ("psnr", "ssim", "ms_ssim"):
        pytest.skip("it looks at pixels alone")
    blind = np.full((30, 68, 3), np.nan)
    found = measured(make(name, clip.context), by_landmarks(blind, clip.points(clip.aperture[:30])))
    assert not found.values
    assert set(found.missing) == {figure.key for figure in KINDS[name].figures}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("fid", "weights-inception-2015-12-05-6726825d.pth"),
        ("sync", "syncnet_v2.model"),
        ("csim", "face_recognition_sface_2021dec.onnx"),
    ],
)
def test_missing_weights_are_named(clip: PlantedClip, name: str, file: str) -> None:
    with pytest.raises(FileNotFoundError, match=file):
        make(name, clip.context)


def test_missing_tables_of_openface_are_asked_for(clip: PlantedClip) -> None:
    with pytest.raises(FileNotFoundError, match="--openface DIR"):
        make("aue", clip.context)


def test_files_that_are_no_weights_are_refused_by_name(clip: PlantedClip, tmp_path: Path) -> None:
    (tmp_path / "syncnet_v2.model").write_bytes(b"a page that says 404")
    context = dataclasses.replace(clip.context, weights=lambda name: tmp_path / name)
    with pytest.raises(ValueError, match=r"syncnet_v2.model does not hold SyncNet's weights"):
        make("sync", context)
