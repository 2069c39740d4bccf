from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from painted_clip import SIZE, no_progress, paint, painted_workspace

from ns_talking.data.format import read_portrait
from ns_talking.process.features import FeaturesStep
from ns_talking.process.split import SplitStep, split_frames


@pytest.mark.parametrize(("num_frames", "train"), [(11, 10), (1779, 1617), (200, 181), (22, 20)])
def test_the_first_ten_elevenths_train(num_frames: int, train: int) -> None:
    splits = split_frames(list(range(num_frames)), num_frames, 1 / 11)
    assert [index for index, part in splits.items() if part == "train"] == list(range(train))


def test_missing_frames_do_not_move_the_border() -> None:
    splits = split_frames([0, 1, 15, 18, 19], 20, 0.25)
    assert splits == {0: "train", 1: "train", 15: "test", 18: "test", 19: "test"}


def test_a_clip_without_training_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        split_frames([19], 20, 0.25)
    with pytest.raises(ValueError, match="held-out share"):
        split_frames([0, 1], 2, 1.0)


def test_the_dataset_is_complete_and_indices_stay_those_of_the_clip(tmp_path: Path) -> None:
    workspace = painted_workspace(tmp_path / "data", [paint(shift) for shift in range(11)], missing=(4,))
    np.save(workspace.blink, np.zeros(11, np.float32))
    for folder in (workspace.parsing, workspace.torso):
        folder.mkdir()
        for index in range(11):
            (folder / f"{index:06d}.png").touch()
    workspace.background.touch()
    figures = SplitStep().run(workspace, no_progress)
    FeaturesStep().run(workspace, no_progress)
    portrait = read_portrait(workspace.folder)
    assert figures == {"train": 9, "test": 1, "left_out": 1}
    assert [frame.index for frame in portrait.frames] == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert portrait.num_frames == 11
    assert portrait.landmark_scheme == "ibug68"
    assert portrait.focal_px == pytest.approx(1.7 * SIZE)


def test_nerfstudio_reads_the_dataset_with_its_own_parser(tmp_path: Path) -> None:
    parsers = pytest.importorskip("nerfstudio.data.dataparsers.nerfstudio_dataparser", reason="needs Nerfstudio")
    workspace = painted_workspace(tmp_path / "data", [paint(shift) for shift in range(11)])
    SplitStep().run(workspace, no_progress)
    config = parsers.NerfstudioDataParserConfig(
        data=workspace.folder, orientation_method="none", center_method="none", auto_scale_poses=False, eval_mode="all"
    )
    outputs = config.setup().get_dataparser_outputs("train")
    assert len(outputs.image_filenames) == 11
    assert all(path.is_file() for path in outputs.image_filenames)
    expected = np.load(workspace.head_poses)[:, :3]
    np.testing.assert_allclose(outputs.cameras.camera_to_worlds.numpy(), expected, atol=1e-6)
    assert float(outputs.cameras.fx[0]) == pytest.approx(1.7 * SIZE)
