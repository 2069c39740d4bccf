from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ns_talking.audio.io import audio_duration_s
from ns_talking.data import landmarks as measure
from ns_talking.data.face_classes import REGION_OF_CLASS
from ns_talking.data.format import TRANSFORMS, Region, read_portrait
from ns_talking.demo.portrait import DemoSettings, sound_of, write_demo


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "ada"
    write_demo(folder, seconds=1.0, size=48)
    return folder


def test_dataset_passes_the_check_of_its_format(folder: Path) -> None:
    portrait = read_portrait(folder)
    assert portrait.num_frames == 25
    assert [len(portrait.split("train")), len(portrait.split("test"))] == [22, 3]
    assert portrait.landmark_scheme == "ibug68"
    assert portrait.landmarks.shape == (25, 68, 3)
    assert portrait.audio is not None
    assert audio_duration_s(portrait.audio) == pytest.approx(1.0)
    assert len(np.load(portrait.feature_files["mel"])) == 101


def test_images_are_what_the_format_says(folder: Path) -> None:
    frame = read_portrait(folder).frames[7]
    assert frame.torso is not None
    image, torso = (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (frame.image, frame.torso))
    parsing = cv2.imread(str(frame.parsing), cv2.IMREAD_UNCHANGED)
    assert image.shape == (48, 48, 3)
    assert torso.shape == (48, 48, 4)
    assert parsing.shape == (48, 48)
    assert set(np.unique(parsing)) <= {int(region) for region in Region}
    classes = cv2.imread(str(frame.classes), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(REGION_OF_CLASS[classes], parsing)


def test_landmarks_show_the_aperture_of_the_speech(folder: Path) -> None:
    portrait = read_portrait(folder)
    measured = measure.aperture(portrait.landmarks, measure.scheme("ibug68"))
    spoken = sound_of(DemoSettings(seconds=1.0, size=48))[1].aperture
    np.testing.assert_allclose(measured, spoken, atol=0.02)


def test_complete_dataset_is_kept(folder: Path) -> None:
    before = (folder / TRANSFORMS).stat().st_mtime_ns
    write_demo(folder, seconds=1.0, size=48)
    assert (folder / TRANSFORMS).stat().st_mtime_ns == before


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not made by the demo"):
        write_demo(tmp_path, seconds=1.0, size=48)


def test_a_demo_killed_in_its_first_instant_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_demo(tmp_path / "ada", seconds=0.2, size=32)
    (tmp_path / "ada/.demo.1-2.partial.json").write_text("{")
    assert write_demo(tmp_path / "ada", seconds=0.2, size=32).num_frames == 5
