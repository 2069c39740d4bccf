"""Folders of the AD-NeRF family are read as they are, whatever their tool left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.data.ad_nerf_format import read_ad_nerf
from ns_talking.data.clip_track import clip_track
from ns_talking.data.format import Portrait, Region, read_portrait
from ns_talking.data.frame_store import FrameStore
from ns_talking.dataparsers.ad_nerf import ADNeRFDataParserConfig
from ns_talking.export.ad_nerf import export_ad_nerf

NUM_FRAMES = 22


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("base")
    portrait = read_portrait(write_tiny_portrait(base / "ours", num_frames=NUM_FRAMES))
    export_ad_nerf(portrait, base / "theirs", lambda: None)
    (base / "theirs" / "aud_mel.npy").unlink()
    return base / "theirs"


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "subject"))


def read(folder: Path) -> Portrait:
    return ADNeRFDataParserConfig(data=folder).setup().read()


@pytest.mark.parametrize(
    ("file", "name", "shape"),
    [
        ("aud_ds.npy", "deepspeech", (16, 29)),
        ("aud_eo.npy", "esperanto", (16, 44)),
        ("aud_hu.npy", "hubert", (2, 1024)),
        ("aud.npy", "ad-nerf", (16, 29)),
    ],
)
def test_every_layout_of_audio_features_drives_the_portrait(
    folder: Path, file: str, name: str, shape: tuple[int, int]
) -> None:
    windows = np.random.default_rng(0).normal(size=(NUM_FRAMES, *shape)).astype(np.float32)
    np.save(folder / file, windows)
    features = clip_track(read(folder), name).features
    found = features.windows(np.arange(NUM_FRAMES) / 25)
    np.testing.assert_array_equal(found, windows.transpose(0, 2, 1))


def test_the_sound_of_a_frame_is_that_of_its_audio_id(folder: Path) -> None:
    for file in ("transforms_train.json", "transforms_val.json"):
        content = json.loads((folder / file).read_text())
        for frame in content["frames"]:
            frame["aud_id"] += 3
        (folder / file).write_text(json.dumps(content))
    windows = np.arange(30 * 16 * 29, dtype=np.float32).reshape(30, 16, 29)
    np.save(folder / "aud_ds.npy", windows)
    features = clip_track(read(folder), "deepspeech").features
    np.testing.assert_array_equal(features.windows(np.array([5 / 25])), windows[8:9].transpose(0, 2, 1))


def test_mel_features_come_from_the_sound_and_stay_in_the_folder(folder: Path) -> None:
    portrait = read(folder)
    assert portrait.feature_files["mel"] == folder / "features" / "mel.npy"
    assert clip_track(portrait, "mel").features.channels == 80
    written = (folder / "features" / "mel.npy").stat().st_mtime_ns
    assert read(folder).feature_files == portrait.feature_files
    assert (folder / "features" / "mel.npy").stat().st_mtime_ns == written


def test_a_folder_of_ad_nerf_itself_has_neither_composited_frames_nor_a_torso_layer(folder: Path) -> None:
    complete = read_ad_nerf(folder)
    expected = FrameStore(complete, 64, 64, 1 << 30).frame(complete.frames[2])
    shutil.rmtree(folder / "gt_imgs")
    shutil.rmtree(folder / "torso_imgs")
    portrait = read(folder)
    assert portrait.frames[0].image.parent.name == "ori_imgs"
    found = FrameStore(portrait, 64, 64, 1 << 30).frame(portrait.frames[2])
    np.testing.assert_array_equal(found.torso[..., 3] == 255, found.parsing == Region.TORSO)
    np.testing.assert_array_equal(found.parsing, expected.parsing)
    person = found.parsing != Region.BACKGROUND
    assert np.abs(found.image[person].astype(int) - expected.image[person]).mean() < 3


def test_blinks_come_from_blendshapes_where_there_are_no_action_units(folder: Path) -> None:
    (folder / "au.csv").unlink()
    shapes = np.zeros((NUM_FRAMES, 52), np.float32)
    shapes[5, [8, 9]] = (0.6, 0.8)
    np.save(folder / "bs.npy", shapes)
    blink = read(folder).blink
    assert blink[5] == pytest.approx(0.7)
    assert blink.sum() == pytest.approx(0.7)


def test_blinks_are_measured_on_the_eyelids_where_nothing_else_tells_them(folder: Path) -> None:
    known = read_ad_nerf(folder).blink
    (folder / "au.csv").unlink()
    blink = read(folder).blink
    assert blink[known == 1].min() > 0.9
    assert blink[known == 0].max() < 0.1


def test_action_units_are_clipped_and_halved_as_er_nerf_does(folder: Path) -> None:
    lines = ["frame, face_id, AU01_r, AU45_r", "1, 0, 4.0, 1.0", "2, 0, 0.0, 5.0"]
    (folder / "au.csv").write_text("\n".join(lines))
    np.testing.assert_allclose(read(folder).blink[:3], [0.5, 1.0, 0.0])


@pytest.mark.parametrize(
    ("file", "task"),
    [
        ("transforms_train.json", "--task 9"),
        ("ori_imgs/4.lms", "--task 7"),
        ("bc.jpg", "--task 5"),
        ("parsing/0.png", "--task 4"),
        ("gt_imgs/0.jpg", "--task 3"),
    ],
)
def test_a_missing_file_is_named_with_the_step_that_writes_it(folder: Path, file: str, task: str) -> None:
    (folder / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"{Path(file).name} is missing.*{task}"):
        read(folder)


def test_transforms_of_another_tool_are_refused(folder: Path) -> None:
    (folder / "transforms_train.json").write_text(json.dumps({"frames": [{"file_path": "a.jpg"}]}))
    with pytest.raises(ValueError, match="talking-portrait"):
        read(folder)


def test_images_and_transforms_of_different_sizes_are_refused(folder: Path) -> None:
    content = json.loads((folder / "transforms_train.json").read_text())
    (folder / "transforms_train.json").write_text(json.dumps({**content, "cx": 256, "cy": 256}))
    with pytest.raises(ValueError, match="64x64"):
        read(folder)


def test_gaps_between_listed_frames_get_poses_in_between(folder: Path) -> None:
    content = json.loads((folder / "transforms_train.json").read_text())
    before, after = content["frames"][6], content["frames"][8]
    del content["frames"][7]
    (folder / "transforms_train.json").write_text(json.dumps(content))
    poses = read(folder).head_poses
    np.testing.assert_allclose(poses[7, :3, :3] @ poses[7, :3, :3].T, np.eye(3), atol=1e-12)
    assert before["img_id"] == 6
    assert after["img_id"] == 8
    np.testing.assert_allclose(poses[7, :3, 3], (poses[6, :3, 3] + poses[8, :3, 3]) / 2, atol=1e-12)
