"""Classes refine regions: every dataset has them, and none leaves its region."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.data.face_classes import NUM_CLASSES, TORSO_CLASSES, FaceClass, classes_from_landmarks
from ns_talking.data.format import CLASSES, HEAD_REGIONS, Portrait, Region, image_name, read_portrait
from ns_talking.data.frame_store import FrameStore
from ns_talking.data.landmarks import scheme
from ns_talking.demo.portrait import write_demo

SIZE, NUM_FRAMES, OPEN = 96, 25, 22


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Portrait:
    folder = tmp_path_factory.mktemp("portrait") / "ada"
    write_demo(folder, seconds=NUM_FRAMES / 25, size=SIZE, jaw=1.6)
    # As `ns-talking process` leaves it where no network parses faces.
    shutil.rmtree(folder / CLASSES)
    return read_portrait(folder)


def drawn(portrait: Portrait, index: int = OPEN) -> tuple[np.ndarray, np.ndarray]:
    regions = cv2.imread(str(portrait.frames[index].parsing), cv2.IMREAD_GRAYSCALE)
    image = cv2.imread(str(portrait.frames[index].image))
    layout = scheme(portrait.landmark_scheme)
    return regions, classes_from_landmarks(regions, portrait.landmarks[index], layout, image)


def test_a_dataset_from_before_there_were_classes_has_all_eleven(portrait: Portrait) -> None:
    found = np.unique(np.stack([drawn(portrait, index)[1] for index in range(NUM_FRAMES)]))
    assert found.tolist() == list(FaceClass)


def test_no_class_leaves_its_region(portrait: Portrait) -> None:
    regions, classes = drawn(portrait)
    assert ((classes == FaceClass.BACKGROUND) == (regions == Region.BACKGROUND)).all()
    assert (np.isin(classes, TORSO_CLASSES) == (regions == Region.TORSO)).all()
    for region, face_class in (
        (Region.LIPS, FaceClass.LIPS),
        (Region.EYES, FaceClass.EYES),
        (Region.INNER_MOUTH, FaceClass.INNER_MOUTH),
    ):
        assert ((classes == face_class) == (regions == region)).all()


def test_parts_lie_where_their_landmarks_are(portrait: Portrait) -> None:
    _, classes = drawn(portrait)
    points = portrait.landmarks[OPEN, :, :2]
    assert classes[tuple(points[29][::-1].astype(int))] == FaceClass.NOSE
    assert classes[tuple(points[19][::-1].astype(int))] == FaceClass.BROWS
    middle = {name: np.argwhere(classes == name).mean(axis=0) for name in FaceClass}
    assert middle[FaceClass.BROWS][0] < middle[FaceClass.NOSE][0]
    assert middle[FaceClass.NOSE][0] < middle[FaceClass.NECK][0] < middle[FaceClass.CLOTHES][0]
    beside = np.abs(np.argwhere(classes == FaceClass.EARS)[:, 1] - middle[FaceClass.NOSE][1])
    assert beside.min() > 0.2 * SIZE


def test_the_neck_is_the_skin_below_the_jaw(tmp_path: Path) -> None:
    shown = write_demo(tmp_path / "ada", seconds=0.2, size=128)
    for frame in shown.frames:
        assert frame.classes is not None
        exact = cv2.imread(str(frame.classes), cv2.IMREAD_GRAYSCALE) == FaceClass.NECK
        _, classes = drawn(shown, frame.index)
        found = classes == FaceClass.NECK
        assert (exact & found).sum() > 0.8 * (exact | found).sum()


def test_a_torso_without_skin_has_no_neck(portrait: Portrait) -> None:
    regions, _ = drawn(portrait)
    image = cv2.imread(str(portrait.frames[OPEN].image))
    image[regions == Region.TORSO] = (180, 60, 20)
    classes = classes_from_landmarks(regions, portrait.landmarks[OPEN], scheme("ibug68"), image)
    assert ((classes == FaceClass.CLOTHES) == (regions == Region.TORSO)).all()


def test_a_frame_without_landmarks_keeps_what_its_regions_tell(portrait: Portrait) -> None:
    regions, _ = drawn(portrait)
    image = cv2.imread(str(portrait.frames[OPEN].image))
    classes = classes_from_landmarks(regions, np.full_like(portrait.landmarks[OPEN], np.nan), scheme("ibug68"), image)
    assert set(np.unique(classes[np.isin(regions, HEAD_REGIONS)])) == {
        FaceClass.HAIR,
        FaceClass.EYES,
        FaceClass.LIPS,
        FaceClass.INNER_MOUTH,
    }


def test_frames_tell_regions_and_classes_apart(portrait: Portrait) -> None:
    frame = portrait.frames[3]
    plain = FrameStore(portrait, SIZE, SIZE, 1 << 30).frame(frame)
    classed = FrameStore(portrait, SIZE, SIZE, 1 << 30, face_classes=True).frame(frame)
    np.testing.assert_array_equal(classed.parsing, plain.parsing)
    np.testing.assert_array_equal(classed.classes, drawn(portrait, 3)[1])
    assert not plain.classes.any()
    small = FrameStore(portrait, 24, 24, 1 << 30, face_classes=True).frame(frame)
    assert small.parsing.max() < len(Region) and small.classes.max() < NUM_CLASSES
    assert {FaceClass.SKIN, FaceClass.NECK, FaceClass.CLOTHES} <= set(np.unique(small.classes))


def test_classes_that_a_dataset_brings_are_taken(tmp_path: Path) -> None:
    folder = write_tiny_portrait(tmp_path / "tiny", num_frames=11, size=32)
    (folder / CLASSES).mkdir()
    for index in range(11):
        cv2.imwrite(str(folder / CLASSES / image_name(index, ".png")), np.full((32, 32), index, np.uint8))
    portrait = read_portrait(folder)
    store = FrameStore(portrait, 32, 32, 1 << 30, face_classes=True)
    assert (store.frame(portrait.frames[7]).classes == 7).all()
    too_many = replace(portrait.frames[0], index=11)
    cv2.imwrite(str(too_many.classes), np.full((32, 32), 11, np.uint8))
    with pytest.raises(ValueError, match="holds the class 11, there are 11. Delete the folder"):
        store.frame(too_many)
    (folder / CLASSES / image_name(4, ".png")).unlink()
    with pytest.raises(FileNotFoundError, match="missing"):
        read_portrait(folder)
