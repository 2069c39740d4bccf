"""Boxes of faces are those of the landmarks, however many frames there are."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.data import face_boxes as module
from ns_talking.data.eye_area import EyeAreas
from ns_talking.data.face_boxes import face_boxes
from ns_talking.data.format import Portrait, read_portrait


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Portrait:
    return read_portrait(write_tiny_portrait(tmp_path_factory.mktemp("portrait"), num_frames=12, unusable=(4,)))


def lengthened(portrait: Portrait, num_frames: int, path: Path) -> Portrait:
    """Give a clip so many frames, with the landmarks of MediaPipe on disk."""
    faces = np.random.default_rng(0).uniform(0, portrait.width, (500, 478, 3)).astype(np.float32)
    table = np.lib.format.open_memmap(path, "w+", np.float32, (num_frames, *faces.shape[1:]))
    for start in range(0, num_frames, len(faces)):
        table[start : start + len(faces)] = faces
    frames = [replace(portrait.frames[0], index=index) for index in range(num_frames)]
    return replace(
        portrait,
        num_frames=num_frames,
        landmarks=np.load(path, mmap_mode="r"),
        landmark_scheme="mediapipe478",
        head_poses=np.broadcast_to(portrait.head_poses[0], (num_frames, 4, 4)),
        blink=np.zeros(num_frames, np.float32),
        frames=frames,
    )


def test_parts_are_boxes_of_the_whole(portrait: Portrait, monkeypatch: pytest.MonkeyPatch) -> None:
    indices = [9, 0, 3, 3, 11, 2, 7]
    whole = face_boxes(portrait, indices, 48, 40)
    monkeypatch.setattr(module, "_FRAMES_AT_ONCE", 3)
    parts = face_boxes(portrait, indices, 48, 40)
    assert parts.num_frames == len(indices)
    for field in fields(whole):
        np.testing.assert_array_equal(getattr(parts, field.name), getattr(whole, field.name))


def test_no_frames_have_no_boxes(portrait: Portrait) -> None:
    assert face_boxes(portrait, [], 48, 40).num_frames == 0


def test_all_frames_without_landmarks_are_counted(portrait: Portrait, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRAMES_AT_ONCE", 2)
    with pytest.raises(ValueError, match=r"Frame 4 of .* has no landmarks \(2 frame\(s\) in all\)"):
        face_boxes(portrait, [0, 1, 4, 2, 3, 4], 48, 40)


@pytest.mark.parametrize("measure", ["boxes", "eyes"])
def test_landmarks_of_a_long_clip_are_never_in_memory_together(
    portrait: Portrait, tmp_path: Path, measure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ns_talking.utils.mapped._PART", 500)
    peaks = []
    for num_frames in (1_500, 4_500):
        long = lengthened(portrait, num_frames, tmp_path / f"{num_frames}.npy")
        tracemalloc.start()
        try:
            _ = face_boxes(long, range(num_frames), 64, 64) if measure == "boxes" else EyeAreas.of(long)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    # What is kept of a frame takes some hundred bytes; its landmarks take 5,736, and 7,648 at double precision.
    assert (peaks[1] - peaks[0]) / 3_000 < 1_000
