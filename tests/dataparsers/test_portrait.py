"""Our dataset reaches Nerfstudio with its cameras, times and split, and says clearly what is wrong with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from portraits import write_tiny_portrait

from ns_talking.data.format import DEFAULT_BOUNDS, read_portrait
from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig, talking_portrait


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_portrait(tmp_path_factory.mktemp("portrait"), num_frames=22, unusable=(3, 21))


def test_cameras_times_and_box_are_the_portraits(folder: Path) -> None:
    parser = TalkingPortraitDataParserConfig(data=folder).setup()
    portrait = read_portrait(folder)
    assert parser.includes_time
    for split, wanted in (("train", "train"), ("val", "test"), ("test", "test")):
        outputs = parser.get_dataparser_outputs(split)
        frames = portrait.split(wanted)
        assert outputs.image_filenames == [frame.image for frame in frames]
        indices = [frame.index for frame in frames]
        assert outputs.cameras.metadata["frame_index"].tolist() == [[index] for index in indices]
        torch.testing.assert_close(outputs.cameras.times, torch.tensor(indices)[:, None] / 22)
        poses = torch.from_numpy(portrait.head_poses[indices, :3]).float()
        torch.testing.assert_close(outputs.cameras.camera_to_worlds, poses)
    torch.testing.assert_close(outputs.scene_box.aabb, torch.tensor(DEFAULT_BOUNDS))
    assert outputs.metadata["portrait"].num_frames == 22


def test_landmarks_stay_on_disk(folder: Path) -> None:
    portrait = read_portrait(folder)
    assert isinstance(portrait.landmarks, np.memmap) and not portrait.landmarks.flags.writeable
    np.testing.assert_array_equal(portrait.landmarks, np.load(folder / "landmarks.npy"))


def test_downscale_factor_of_the_config_or_of_the_object_shrinks_the_cameras(folder: Path) -> None:
    config = TalkingPortraitDataParserConfig(data=folder, downscale_factor=2)
    assert config.setup().get_dataparser_outputs("train").cameras.width[0] == 32
    parser = config.setup()
    parser.downscale_factor = 1
    assert parser.get_dataparser_outputs("train").cameras.width[0] == 64


def test_nerfstudios_own_dataparser_reads_our_transforms(folder: Path) -> None:
    config = NerfstudioDataParserConfig(
        data=folder,
        orientation_method="none",
        center_method="none",
        auto_scale_poses=False,
        eval_mode="all",
        downscale_factor=1,
    )
    theirs = config.setup().get_dataparser_outputs("train")
    portrait = read_portrait(folder)
    assert theirs.image_filenames == [frame.image for frame in portrait.frames]
    poses = torch.from_numpy(portrait.head_poses[[frame.index for frame in portrait.frames], :3]).float()
    torch.testing.assert_close(theirs.cameras.camera_to_worlds, poses)
    assert theirs.cameras.fx[0].item() == pytest.approx(portrait.focal_px)
    assert theirs.cameras.cx[0].item() == 32


def test_a_folder_that_moved_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="If it moved.*--data"):
        TalkingPortraitDataParserConfig(data=tmp_path / "gone").setup().get_dataparser_outputs("train")


def test_a_missing_sound_is_named(folder: Path, tmp_path: Path) -> None:
    config = TalkingPortraitDataParserConfig(data=folder, audio=tmp_path / "none.wav")
    with pytest.raises(FileNotFoundError, match=r"none\.wav"):
        config.setup().get_dataparser_outputs("train")


def test_a_validation_part_that_leaves_nothing_is_refused(folder: Path) -> None:
    config = TalkingPortraitDataParserConfig(data=folder, eval_split="validation", validation_fraction=1.0)
    with pytest.raises(ValueError, match="leaves 0 to train on"):
        config.setup().get_dataparser_outputs("train")


def test_a_clip_without_held_out_frames_says_what_to_do(tmp_path: Path) -> None:
    folder = write_tiny_portrait(tmp_path, num_frames=5, num_train=5)
    parser = TalkingPortraitDataParserConfig(data=folder).setup()
    assert len(parser.get_dataparser_outputs("train").image_filenames) == 5
    with pytest.raises(ValueError, match="--eval-split validation"):
        parser.get_dataparser_outputs("val")


def test_dataparsers_load_first_without_nerfstudios_circular_import() -> None:
    code = (
        "import ns_talking.dataparsers.portrait, ns_talking.dataparsers.ad_nerf; "
        "import nerfstudio.data.datamanagers.base_datamanager"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]


def test_the_entry_point_registers_the_config() -> None:
    assert isinstance(talking_portrait.config, TalkingPortraitDataParserConfig)


def test_training_on_the_best_seconds_leaves_held_out_frames_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = TalkingPortraitDataParserConfig(data=folder).setup()
    part = TalkingPortraitDataParserConfig(data=folder, train_seconds=0.4).setup()
    kept = part.get_dataparser_outputs("train").image_filenames
    every = whole.get_dataparser_outputs("train").image_filenames
    first = int(kept[0].stem)
    # Ten frames at 25 Hz, without those that show no face.
    assert kept == [path for path in every if first <= int(path.stem) < first + 10]
    assert 9 <= len(kept) <= 10
    tested = [one.get_dataparser_outputs("test").image_filenames for one in (whole, part)]
    assert tested[0] == tested[1]
    assert f"Training on {len(kept)} of 19 frames" in " ".join(capsys.readouterr().out.split())
