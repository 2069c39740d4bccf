"""The datamanager serves the pixels that the files hold, the same for the same step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from portraits import write_tiny_portrait

from ns_talking.data.format import Region, read_portrait
from ns_talking.data.pixel_samplers import MouthPixelSamplerConfig, PixelGroup
from ns_talking.data.portrait_datamanager import PortraitDataManager, PortraitDataManagerConfig
from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_portrait(tmp_path_factory.mktemp("portrait"), num_frames=22, unusable=(4,))


def manager(folder: Path, **settings: object) -> PortraitDataManager:
    config = PortraitDataManagerConfig(
        data=folder, dataparser=TalkingPortraitDataParserConfig(), train_num_rays_per_batch=256, seed=0
    )
    return replace(config, **settings).setup(device="cpu")


def test_it_is_a_vanilla_datamanager_for_nerfstudios_tools(folder: Path) -> None:
    data = manager(folder)
    assert isinstance(data, VanillaDataManager)
    assert data.get_train_rays_per_batch() == 256
    data.train_pixel_sampler.num_rays_per_batch = 64
    assert len(data.next_train(0)[0]) == 64
    camera, batch = next(iter(data.fixed_indices_eval_dataloader))
    assert camera.shape == (1,)
    assert batch["image"].shape == (64, 64, 3)
    assert len(data.fixed_indices_eval_dataloader) == 2
    assert data.eval_dataloader.get_camera(1)[0].shape == (1,)


def test_training_sees_training_frames_alone_and_no_frame_without_a_face(folder: Path) -> None:
    data = manager(folder)
    seen = {int(i) for step in range(40) for i in data.next_train(step)[0].metadata["frame_index"].unique()}
    assert seen == set(range(20)) - {4}
    assert {int(i) for i in data.next_eval(0)[0].metadata["frame_index"].unique()} == {20, 21}


def test_validation_takes_the_end_of_the_training_part_and_hides_the_test_part(folder: Path) -> None:
    parser = TalkingPortraitDataParserConfig(eval_split="validation", validation_fraction=0.25)
    data = manager(folder, dataparser=parser)
    assert [frame.index for frame in data.train_dataset.frames] == [0, 1, 2, 3, *range(5, 15)]
    assert [frame.index for frame in data.eval_dataset.frames] == [15, 16, 17, 18, 19]
    assert max(frame.index for frame in data.train_dataset.portrait.frames) == 19


@pytest.mark.parametrize("phase", ["head", "lips", "torso"])
def test_batches_are_functions_of_the_step(folder: Path, phase: str) -> None:
    first, resumed = manager(folder), manager(folder)
    first.phase = resumed.phase = phase
    for step in range(3):
        first.next_train(step)
    expected_rays, expected = first.next_train(3)
    rays, batch = resumed.next_train(3)
    assert torch.equal(rays.origins, expected_rays.origins)
    for name, value in expected.items():
        assert torch.equal(batch[name], value) if isinstance(value, torch.Tensor) else batch[name] == value


def test_pixels_are_those_of_the_files(folder: Path) -> None:
    data = manager(folder)
    portrait = read_portrait(folder)
    bundle, batch = data.next_train(0)
    plate = cv2.imread(str(portrait.background))[..., ::-1] / 255
    by_index = {frame.index: frame for frame in portrait.frames}
    for ray in range(0, 256, 7):
        frame = by_index[int(bundle.metadata["frame_index"][ray, 0])]
        row, y, x = batch["indices"][ray].tolist()
        assert data.train_dataset.frames[row].index == frame.index
        parsing = cv2.imread(str(frame.parsing), cv2.IMREAD_GRAYSCALE)[y, x]
        torso = cv2.imread(str(frame.torso), cv2.IMREAD_UNCHANGED)[y, x][[2, 1, 0, 3]] / 255
        filmed = cv2.imread(str(frame.image))[y, x, ::-1] / 255
        assert batch["parsing"][ray] == parsing
        wanted = plate[y, x] if parsing == Region.BACKGROUND else filmed
        np.testing.assert_allclose(batch["image"][ray], wanted, atol=1e-6)
        np.testing.assert_allclose(batch["torso"][ray], torso, atol=1e-6)
        behind = torso[:3] * torso[3] + plate[y, x] * (1 - torso[3])
        np.testing.assert_allclose(bundle.metadata["behind"][ray], behind, atol=1e-6)
        np.testing.assert_allclose(bundle.metadata["background"][ray], plate[y, x], atol=1e-6)
        np.testing.assert_allclose(bundle.metadata["pixel"][ray], [y / 63 * 2 - 1, x / 63 * 2 - 1], atol=1e-6)
        np.testing.assert_allclose(bundle.times[ray], frame.index / 22, atol=1e-6)


def test_pixels_that_are_drawn_at_the_eyes_are_known_as_such(folder: Path) -> None:
    data = manager(folder, pixel_sampler=MouthPixelSamplerConfig(mouth_share=0.0, eye_share=0.5))
    _, batch = data.next_train(0)
    assert batch["in_eyes"][batch["group"] == PixelGroup.EYES].all()
    assert not batch["in_eyes"].all()


def test_the_lips_phase_gives_one_square_patch(folder: Path) -> None:
    data = manager(folder)
    data.phase = "lips"
    bundle, batch = data.next_train(1)
    assert len(bundle) == batch["patch"] ** 2
    assert batch["in_face"].all()


def test_evaluation_images_hold_all_layers(folder: Path) -> None:
    camera, batch = manager(folder).next_eval_image(0)
    assert {name: tuple(batch[name].shape) for name in ("image", "behind", "background", "torso", "parsing")} == {
        "image": (64, 64, 3),
        "behind": (64, 64, 3),
        "background": (64, 64, 3),
        "torso": (64, 64, 4),
        "parsing": (64, 64),
    }
    assert camera.metadata["frame_index"].item() == batch["frame_index"]
    assert batch["image"].dtype == torch.float32


def test_the_working_size_shrinks_images_and_cameras_together(folder: Path) -> None:
    data = manager(folder, working_size=32)
    camera, batch = data.next_eval_image(0)
    assert batch["image"].shape == (32, 32, 3)
    assert camera.width.item() == 32
    torch.testing.assert_close(camera.cx, torch.full_like(camera.cx, 16.0))


def test_a_relative_dataset_is_saved_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    config = PortraitDataManagerConfig(dataparser=TalkingPortraitDataParserConfig())
    config.data = Path(folder.name)
    assert config.data == folder
    assert TalkingPortraitDataParserConfig(data=Path(folder.name)).data == folder


def test_a_dataparser_without_portraits_is_refused_by_name(folder: Path) -> None:
    data = manager(folder)
    outputs = replace(data.train_dataparser_outputs, metadata={})
    data.config.dataparser = BlenderDataParserConfig()
    with pytest.raises(ValueError, match="talking-portrait"):
        data._dataset(outputs)
