"""A portrait exported into AD-NeRF's layout and read back is the same portrait."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.data.ad_nerf_format import read_ad_nerf, to_our_world, to_their_world
from ns_talking.data.format import Portrait, Region, read_portrait
from ns_talking.data.frame_store import FrameStore
from ns_talking.data.landmarks import scheme
from ns_talking.dataparsers.ad_nerf import ADNeRFDataParserConfig
from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig
from ns_talking.export import EXPORTERS
from ns_talking.export.ad_nerf import export_ad_nerf
from ns_talking.scripts.export import Export
from ns_talking.utils.registry import lookup


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_portrait(tmp_path_factory.mktemp("portrait"), num_frames=22, unusable=(3, 21))


@pytest.fixture(scope="module")
def exported(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "ad-nerf"
    Export(dataset=original, output=folder).main()
    return folder


@pytest.fixture(scope="module")
def pair(original: Path, exported: Path) -> tuple[Portrait, Portrait]:
    return read_portrait(original), read_ad_nerf(exported)


def test_cameras_times_and_split_survive_the_round_trip(original: Path, exported: Path) -> None:
    for split in ("train", "test"):
        ours = TalkingPortraitDataParserConfig(data=original).setup().get_dataparser_outputs(split)
        theirs = ADNeRFDataParserConfig(data=exported).setup().get_dataparser_outputs(split)
        for name in ("camera_to_worlds", "fx", "fy", "cx", "cy", "width", "height", "times"):
            ours_value, theirs_value = (getattr(outputs.cameras, name).numpy() for outputs in (ours, theirs))
            np.testing.assert_allclose(theirs_value, ours_value, atol=1e-6, rtol=0)
        assert (theirs.cameras.metadata["frame_index"] == ours.cameras.metadata["frame_index"]).all()
        np.testing.assert_allclose(theirs.scene_box.aabb, ours.scene_box.aabb)


def test_landmarks_blink_and_length_survive_the_round_trip(pair: tuple[Portrait, Portrait]) -> None:
    ours, theirs = pair
    assert theirs.num_frames == ours.num_frames == 22
    usable = [frame.index for frame in ours.frames]
    points = ours.landmarks[:, scheme(ours.landmark_scheme).ibug68, :2]
    np.testing.assert_allclose(theirs.landmarks[usable, :, :2], points[usable], atol=1e-4)
    assert np.isnan(theirs.landmarks[[3, 21]]).all()
    np.testing.assert_allclose(theirs.blink, ours.blink, atol=1e-6)


def test_images_torso_and_parsing_survive_the_round_trip(pair: tuple[Portrait, Portrait]) -> None:
    ours, theirs = (FrameStore(portrait, 64, 64, 1 << 30) for portrait in pair)
    expected, found = ours.frame(pair[0].frames[4]), theirs.frame(pair[1].frames[4])
    np.testing.assert_array_equal(found.torso, expected.torso)
    head = (Region.HEAD, Region.LIPS, Region.EYES, Region.INNER_MOUTH)
    np.testing.assert_array_equal(np.isin(found.parsing, head), np.isin(expected.parsing, head))
    np.testing.assert_array_equal(found.parsing == Region.TORSO, expected.parsing == Region.TORSO)
    for region in (Region.LIPS, Region.EYES, Region.INNER_MOUTH):
        assert (found.parsing == region).any()
    assert np.abs(found.image.astype(int) - expected.image).mean() < 2


def test_windows_of_features_hold_one_row_per_frame(exported: Path) -> None:
    assert np.load(exported / "aud_mel.npy").shape == (22, 16, 80)


def test_what_needs_the_licensed_face_model_is_not_invented(exported: Path) -> None:
    assert not (exported / "track_params.pt").exists()


def test_our_worlds_axes_are_their_faces_turned_and_scaled() -> None:
    pose = np.eye(4)[None].copy()
    pose[0, :3, 3] = (0.1, 0.2, 0.8)
    np.testing.assert_allclose(to_our_world(pose)[0, :3, 3], (0.4, -3.2, 0.8))
    random = np.random.default_rng(0).normal(size=(5, 4, 4))
    random[:, 3] = (0, 0, 0, 1)
    np.testing.assert_allclose(to_their_world(to_our_world(random)), random, atol=1e-12)
    assert np.linalg.det(to_our_world(pose)[0, :3, :3]) == pytest.approx(1)


def test_files_follow_the_familys_names_and_codes(exported: Path) -> None:
    content = json.loads((exported / "transforms_train.json").read_text())
    assert content["cx"] == 32
    assert content["frames"][3].keys() == {"img_id", "aud_id", "transform_matrix"}
    assert content["frames"][3]["img_id"] == 4
    colours = cv2.imread(str(exported / "parsing" / "0.png")).reshape(-1, 3)
    assert {tuple(colour) for colour in np.unique(colours, axis=0).tolist()} == {
        (255, 0, 0),
        (0, 0, 255),
        (255, 255, 255),
    }
    assert len((exported / "ori_imgs" / "0.lms").read_text().splitlines()) == 68
    assert (exported / "au.csv").read_text().splitlines()[0].endswith(", AU45_r")


def test_exporting_over_something_is_refused(original: Path, exported: Path) -> None:
    with pytest.raises(FileExistsError, match="choose another --output"):
        export_ad_nerf(read_portrait(original), exported, lambda: None)


def test_an_interrupted_export_leaves_nothing(original: Path, tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_ad_nerf(read_portrait(original), tmp_path / "out", stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_family_can_be_exported_again(exported: Path, tmp_path: Path) -> None:
    portrait = replace(read_ad_nerf(exported), feature_files={})
    export_ad_nerf(portrait, tmp_path / "again", lambda: None)
    again = read_ad_nerf(tmp_path / "again")
    np.testing.assert_allclose(again.head_poses, portrait.head_poses, atol=1e-12)


@pytest.mark.parametrize("name", EXPORTERS)
def test_registered_exporters_exist(name: str) -> None:
    assert callable(lookup(EXPORTERS, name, "export formats"))
