from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
from videos import discs, silence, write_video

from ns_talking.process.frames import FramesStep
from ns_talking.process.head_pose import HeadPoseStep
from ns_talking.process.landmark_detectors import FaceAlignmentDetector, MediaPipeDetector
from ns_talking.process.landmarks import LandmarksStep
from ns_talking.process.step import Progress, Workspace

Make = Callable[..., Workspace]
Place = tuple[float, float, float]


@pytest.fixture
def filmed(tmp_path: Path, make_workspace: Make, quiet: Progress) -> Callable[..., Workspace]:
    """Film discs and run the frames step."""

    def film(places: Sequence[Sequence[Place]]) -> Workspace:
        pictures = [discs(*faces) for faces in places]
        video = write_video(tmp_path / "a.mp4", pictures, sound=silence(len(pictures) / 25))
        workspace = make_workspace(video)
        FramesStep().run(workspace, quiet)
        return workspace

    return film


def found_x(workspace: Workspace) -> np.ndarray:
    return np.load(workspace.landmarks)[:, 36:48, 0].mean(axis=1)


def test_frames_without_a_face_are_marked_and_keep_their_index(
    filmed: Callable[..., Workspace], quiet: Progress
) -> None:
    places = [[] if k in (7, 8, 30) else [(30 + 0.6 * k, 48, 16)] for k in range(50)]
    workspace = filmed(places)
    figures = LandmarksStep().run(workspace, quiet)
    assert figures["frames_without_face"] == [7, 8, 30] and figures["usable_frames"] == 47
    assert "3 frames show no face" in figures["notes"][0]
    x = found_x(workspace)
    assert np.flatnonzero(np.isnan(x)).tolist() == [7, 8, 30]
    expected = 30 + 0.6 * np.arange(50)
    assert np.nanmax(np.abs(x - expected)) < 1.5
    assert np.load(workspace.work("faces.npy"))[[6, 7]].tolist() == [1, 0]


def test_poses_are_interpolated_where_there_is_no_face(filmed: Callable[..., Workspace], quiet: Progress) -> None:
    workspace = filmed([[] if k in (7, 8) else [(30 + 0.6 * k, 48, 16)] for k in range(50)])
    LandmarksStep().run(workspace, quiet)
    figures = HeadPoseStep().run(workspace, quiet)
    poses = np.load(workspace.head_poses)
    assert poses.shape == (50, 4, 4) and np.isfinite(poses).all() and figures["tracked_frames"] == 48
    assert np.isnan(np.load(workspace.work("head_pose.npz"))["reprojection_px"]).sum() == 2
    # The head moves to the image's right, so the camera, seen from it, moves to the left.
    assert (np.diff(poses[:, 0, 3]) < 0).mean() > 0.9


def test_too_many_frames_without_a_face_are_refused_with_the_longest_usable_part(
    filmed: Callable[..., Workspace], quiet: Progress
) -> None:
    workspace = filmed([[] if k < 20 else [(48, 48, 16)] for k in range(60)])
    with pytest.raises(ValueError, match=r"20 of 60 frames are unusable, more than 20%.*1\.6 s long.*starts 0\.80 s"):
        LandmarksStep().run(workspace, quiet)
    assert not workspace.landmarks.exists()


def test_of_two_faces_the_larger_person_is_followed_through_time(
    filmed: Callable[..., Workspace], quiet: Progress
) -> None:
    # The small one comes first, and passes above the large one.
    places = [[(20 + 1.2 * k, 18, 11), *([(40 + 0.3 * k, 62, 18)] if k >= 3 else [])] for k in range(50)]
    workspace = filmed(places)
    figures = LandmarksStep().run(workspace, quiet)
    x = found_x(workspace)
    assert np.nanmax(np.abs(x - (40 + 0.3 * np.arange(50)))) < 1.5
    assert figures["frames_without_face"] == [0, 1, 2] and figures["frames_with_several_faces"] == 47
    assert any("several faces" in note for note in figures["notes"])


def test_a_head_that_leaves_the_picture_is_marked(filmed: Callable[..., Workspace], quiet: Progress) -> None:
    places = [[(max(48 - 4 * max(0, k - 50), 8), 48, 16)] for k in range(65)]
    workspace = filmed(places)
    figures = LandmarksStep().run(workspace, quiet)
    cut_off = figures["frames_with_face_cut_off"]
    assert cut_off and cut_off == list(range(cut_off[0], 65)) and cut_off[0] > 55
    assert np.isnan(np.load(workspace.landmarks)[cut_off]).all()
    assert any("cut off" in note for note in figures["notes"])


def test_another_framing_is_refused(filmed: Callable[..., Workspace], quiet: Progress) -> None:
    workspace = filmed([[(44 if k < 40 else 54, 48, 16)] for k in range(70)])
    with pytest.raises(ValueError, match=r"cut at 1\.60 s.*--start 0\.00 --max-seconds 1\.59"):
        LandmarksStep().run(workspace, quiet)


def test_an_edit_within_one_shot_is_kept_and_noted(filmed: Callable[..., Workspace], quiet: Progress) -> None:
    workspace = filmed([[(44 + (4 if k >= 40 else 0), 48, 16)] for k in range(70)])
    figures = LandmarksStep().run(workspace, quiet)
    assert figures["edits"] == [40] and figures["usable_frames"] == 70
    assert "looks edited at 1.60 s" in figures["notes"][0]


def test_a_quick_turn_is_no_cut(filmed: Callable[..., Workspace], quiet: Progress) -> None:
    # A smooth move at up to 0.3 eye distances a frame.
    x = 48 + 16 * np.tanh((np.arange(60) - 30) / 4)
    workspace = filmed([[(float(place), 48, 16)] for place in x])
    assert LandmarksStep().run(workspace, quiet)["usable_frames"] == 60


def test_without_mediapipe_the_other_detector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ImportError, match="Linux on x86-64.*--landmarks face-alignment"):
        MediaPipeDetector(None)


def test_face_alignment_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(ImportError, match=r"ns-talking\[face-alignment\]"):
        FaceAlignmentDetector(None)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_depth_of_face_alignment_grows_away_from_the_camera(monkeypatch: pytest.MonkeyPatch, sign: float) -> None:
    points = np.zeros((68, 3))
    points[[0, 16], 2] = 50 * sign

    class Network:
        def __init__(self, kind: str, **options: object) -> None:
            assert kind == "3D"

        def get_landmarks_from_image(self, image: np.ndarray) -> list[np.ndarray]:
            return [points]

    package = ModuleType("face_alignment")
    vars(package).update(FaceAlignment=Network, LandmarksType=SimpleNamespace(THREE_D="3D"), __version__="1.5")
    monkeypatch.setitem(sys.modules, "face_alignment", package)
    with FaceAlignmentDetector(None) as detector:
        (face,) = detector.detect(np.zeros((8, 8, 3), dtype=np.uint8))
    assert face.points[0, 2] == 50 and face.points[30, 2] == 0
    assert face.points[0, 0] == 0.5


NAMES = ("s3fd-1.pth", "3DFAN4-2.pth.tar", "depth-3.pth.tar")


@pytest.mark.parametrize("table", ["models_urls", "default_model_urls"])
@pytest.mark.parametrize("present", [(), NAMES[:2]])
def test_missing_weights_of_face_alignment_are_named_with_their_address_and_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, table: str, present: tuple[str, ...]
) -> None:
    def network(kind: str, device: str, flip_input: bool) -> None:
        raise URLError("no network")

    detector, hourglass, depth = (f"https://example.org/{name}" for name in NAMES)
    package, api, sfd = (ModuleType(name) for name in ("face_alignment", "api", "sfd"))
    vars(package).update(FaceAlignment=network, LandmarksType=SimpleNamespace(THREE_D="3D"))
    if table == "default_model_urls":
        vars(api)["models_urls"] = {"1.5": {"depth": "https://example.org/old.zip"}}
    vars(api)[table] = {"2DFAN-4": "https://example.org/flat.zip", "3DFAN-4": hourglass, "depth": depth}
    vars(sfd)["models_urls"] = {"s3fd": detector}
    monkeypatch.setitem(sys.modules, "face_alignment", package)
    monkeypatch.setitem(sys.modules, "face_alignment.api", api)
    monkeypatch.setitem(sys.modules, "face_alignment.detection.sfd.sfd_detector", sfd)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name in present:
        (folder / name).touch()
    with pytest.raises(FileNotFoundError) as error:
        FaceAlignmentDetector(None)
    text = str(error.value)
    assert "no network" in text and str(folder) in text
    assert [f"https://example.org/{name}" in text for name in NAMES] == [name not in present for name in NAMES]
    assert "flat.zip" not in text and "old.zip" not in text
