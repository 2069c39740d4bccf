from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.audio.io import read_audio, write_wav
from ns_talking.data import format as layout
from ns_talking.doctor.dataset import dataset, focal
from ns_talking.process.verdicts import VERDICTS, as_json
from ns_talking.utils.files import write_json
from ns_talking.utils.verdicts import Verdict


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_portrait(tmp_path / "tiny", num_frames=44, size=32)


def verdict(folder: Path, name: str) -> Verdict:
    return next(each for each in dataset(folder) if each.name == name)


def test_a_dataset_without_faults_passes_what_its_length_allows(folder: Path) -> None:
    verdicts = {each.name: each.level for each in dataset(folder)}
    for name in ("files", "arrays", "mel features", "focal length", "drift", "sound and picture length"):
        assert verdicts[name] == "pass", name
    assert verdicts["clip length"] == "fail"
    assert len(verdicts) > 15


def test_every_finding_says_what_to_do(folder: Path) -> None:
    for each in dataset(folder):
        assert (each.level == "pass") == (each.advice == ""), each


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / layout.PARSING / "000003.png").unlink()
    (only,) = dataset(folder)
    assert only.level == "fail" and "000003.png" in only.advice


def test_a_folder_that_is_no_dataset_is_said_to_be_none(tmp_path: Path) -> None:
    (only,) = dataset(tmp_path)
    assert only.level == "fail" and "cannot be read" in only.found


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        (layout.HEAD_POSES, np.nan, "head poses hold NaN"),
        (layout.HEAD_POSES, 3.0, "no rotations"),
        (layout.BLINK, 7.0, "blinks leave 0 to 1"),
        (layout.LANDMARKS, np.nan, "usable frames lack landmarks"),
    ],
)
def test_arrays_that_would_make_the_loss_nan_are_found(folder: Path, name: str, value: float, found: str) -> None:
    array = np.load(folder / name)
    array[5] = value
    np.save(folder / name, array)
    assert found in verdict(folder, "arrays").found


@pytest.mark.parametrize("fault", ["nan", "constant", "short"])
def test_features_that_drive_nothing_are_found(folder: Path, fault: str) -> None:
    path = folder / layout.FEATURES / "mel.npy"
    table = np.load(path)
    np.save(path, {"nan": table * np.nan, "constant": table * 0, "short": table[: len(table) // 2]}[fault])
    assert verdict(folder, "mel features").level == "fail"


def test_silence_in_place_of_a_voice_is_found(folder: Path) -> None:
    write_wav(folder / layout.AUDIO, 0 * read_audio(folder / layout.AUDIO))
    assert verdict(folder, "sound level").level == "fail"


def test_verdicts_that_process_left_are_told_instead_of_found_again(folder: Path) -> None:
    kept = [Verdict("parsing", "warn", "flickers", "why", "Film again.")]
    write_json(folder / "work" / VERDICTS, as_json(kept))
    assert dataset(folder)[-1:] == kept
    assert not any(each.name == "clip length" for each in dataset(folder))


@pytest.mark.parametrize(("widths", "level"), [(0.5, "warn"), (1.7, "pass"), (6.0, "warn")])
def test_a_lens_that_no_portrait_is_filmed_with_is_doubted(folder: Path, widths: float, level: str) -> None:
    portrait = layout.read_portrait(folder)
    verdict = focal(replace(portrait, focal_px=widths * portrait.width))
    assert verdict.level == level
    assert ("--focal PX" in verdict.advice) == (level == "warn")
