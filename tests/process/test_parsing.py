from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from painted_clip import HAIR, PaintedSegmenter, no_progress, paint, painted_workspace

from ns_talking.data.format import HEAD_REGIONS, Region
from ns_talking.process import person_masks
from ns_talking.process.models import find_model
from ns_talking.process.parsing import ParsingStep
from ns_talking.process.person_masks import MASK_SIZE, SelfieMulticlassSegmenter, fill_holes, parser_name
from ns_talking.process.runner import run_steps
from ns_talking.process.step import ProcessSettings, Workspace


@pytest.fixture(autouse=True)
def _painted_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(person_masks.PARSERS, "painted", f"{PaintedSegmenter.__module__}:PaintedSegmenter")
    monkeypatch.setattr(person_masks, "find_model", lambda name, models, progress: Path(name))


def parsed(workspace: Workspace, index: int) -> np.ndarray:
    return cv2.imread(str(workspace.parsing / f"{index:06d}.png"), cv2.IMREAD_UNCHANGED)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


def test_every_region_lies_where_it_was_painted(tmp_path: Path) -> None:
    frames = [paint(shift) for shift in (0, 1, 2, 3)]
    workspace = painted_workspace(tmp_path / "data", frames)
    figures = ParsingStep().run(workspace, no_progress)
    assert not figures["long_hair"]
    for index, frame in enumerate(frames):
        found = parsed(workspace, index)
        assert found.dtype == np.uint8
        assert found.shape == frame.regions.shape
        head = np.isin(found, HEAD_REGIONS)
        assert overlap(head, np.isin(frame.regions, HEAD_REGIONS)) > 0.95
        assert overlap(found == Region.TORSO, frame.regions == Region.TORSO) > 0.93
        for part in (Region.LIPS, Region.EYES, Region.INNER_MOUTH):
            assert overlap(found == part, frame.regions == part) > 0.8


def test_frames_without_a_face_get_no_parsing_and_shift_nothing(tmp_path: Path) -> None:
    frames = [paint(3 * shift) for shift in range(4)]
    workspace = painted_workspace(tmp_path / "data", frames, missing=(1,))
    ParsingStep().run(workspace, no_progress)
    assert sorted(path.name for path in workspace.parsing.iterdir()) == ["000000.png", "000002.png", "000003.png"]
    assert overlap(parsed(workspace, 3) > 0, frames[3].regions > 0) > 0.95


def test_long_hair_below_the_jaw_belongs_to_the_head(tmp_path: Path) -> None:
    frames = [paint(shift, long_hair=True) for shift in (0, 2, 4, 2)]
    workspace = painted_workspace(tmp_path / "data", frames)
    figures = ParsingStep().run(workspace, no_progress)
    assert figures["long_hair"]
    assert figures["notes"]
    for index, frame in enumerate(frames):
        found = np.isin(parsed(workspace, index), HEAD_REGIONS)
        assert overlap(found, np.isin(frame.regions, HEAD_REGIONS)) > 0.93
        assert overlap(parsed(workspace, index) == Region.TORSO, frame.regions == Region.TORSO) > 0.85


def test_a_jacket_of_the_hairs_colour_stays_torso_when_hair_is_short(tmp_path: Path) -> None:
    frames = [paint(shift, jacket=HAIR) for shift in (0, 1, 2)]
    workspace = painted_workspace(tmp_path / "data", frames)
    assert not ParsingStep().run(workspace, no_progress)["long_hair"]
    assert overlap(parsed(workspace, 1) == Region.TORSO, frames[1].regions == Region.TORSO) > 0.93


def test_parsing_twice_gives_the_same_images(tmp_path: Path) -> None:
    frames = [paint(shift) for shift in (0, 1)]
    workspace = painted_workspace(tmp_path / "data", frames)
    ParsingStep().run(workspace, no_progress)
    before = parsed(workspace, 0)
    ParsingStep().run(workspace, no_progress)
    np.testing.assert_array_equal(before, parsed(workspace, 0))
    assert all(path.exists() for path in ParsingStep().outputs(workspace))


def test_the_multiclass_model_is_taken_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"selfie_multiclass_256x256.tflite"}
    monkeypatch.setattr(person_masks, "installed_model", lambda name, models: Path(name) if name in there else None)
    assert parser_name(ProcessSettings()) == "selfie-multiclass"
    there.clear()
    assert parser_name(ProcessSettings()) == "selfie"
    assert parser_name(ProcessSettings(parsing="painted")) == "painted"


def test_holes_are_filled_but_bays_are_not() -> None:
    mask = np.ones((9, 9), bool)
    mask[4, 4] = False
    mask[0:3, 2] = False
    filled = fill_holes(mask)
    assert filled[4, 4]
    assert not filled[1, 2]


def test_masks_are_not_averaged_across_an_edit(tmp_path: Path) -> None:
    frames = [paint(-20.0), paint(-20.0), paint(20.0), paint(20.0)]
    workspace = painted_workspace(tmp_path / "data", frames)
    ParsingStep().run(workspace, no_progress)
    for index in (1, 2):
        assert overlap(parsed(workspace, index) == Region.TORSO, frames[index].regions == Region.TORSO) > 0.93


def test_the_multiclass_person_is_every_class_but_the_background() -> None:
    confidences = [np.full((MASK_SIZE, MASK_SIZE), value, np.float32) for value in (0.2, 0.5, 0.1, 0.1, 0.1, 0.0)]
    segmenter = SelfieMulticlassSegmenter.__new__(SelfieMulticlassSegmenter)
    masks = segmenter._masks(confidences)
    assert masks.hair is not None
    assert int(masks.person[0, 0]) == 204
    assert int(masks.hair[0, 0]) == 128
    with pytest.raises(ValueError, match="6 are expected"):
        segmenter._masks(confidences[:2])


@pytest.mark.parametrize(("clip", "long_hair"), [("broadcast_71s", False), ("longhair_8s", True)])
def test_real_people_are_parsed_with_the_real_model(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: str, long_hair: bool
) -> None:
    pytest.importorskip("mediapipe", reason="MediaPipe has no wheel for this platform")
    models = shared / "models"
    settings = ProcessSettings(size=256, max_seconds=1.0, crop="none", models=models, parsing="selfie")
    workspace = Workspace(tmp_path / "data", shared / "clips" / f"{clip}.mp4", settings)
    monkeypatch.setattr(person_masks, "find_model", find_model)
    figures = {step.name: step.figures for step in run_steps(workspace, no_progress, ["torso"]).steps}
    assert figures["parsing"]["long_hair"] is long_hair
    assert figures["torso"]["behind_mismatch"] < 1
    regions = parsed(workspace, 3)
    head = np.isin(regions, HEAD_REGIONS)
    # The lowest row shows hair beside the neck of one person, and the jacket alone of the other.
    assert (head[-8].mean() > 0.2) == long_hair
    assert 0.25 < head.mean() < 0.75
    assert 0.02 < (regions == Region.TORSO).mean() < 0.3
