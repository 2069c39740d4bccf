"""Every step shows one frame of one person, with references of that person, through that person's lens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from portraits import write_tiny_portrait

from ns_talking.data.few_shot_datamanager import FewShotDataManager, FewShotDataManagerConfig
from ns_talking.data.references import Drawn
from ns_talking.dataparsers.identities import IdentitiesDataParserConfig


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people in pictures of different sizes, so that their lenses differ."""
    folder = tmp_path_factory.mktemp("people")
    for name, size in (("ada", 64), ("ben", 48), ("cyd", 64)):
        write_tiny_portrait(folder / name, num_frames=22, size=size, seed=size + ord(name[0]))
    return folder


def manager(people: Path, test_mode: str = "val", **parser: object) -> FewShotDataManager:
    config = FewShotDataManagerConfig(
        data=people, dataparser=IdentitiesDataParserConfig(**parser), train_num_rays_per_batch=64, seed=0
    )
    return config.setup(device="cpu", test_mode=test_mode)


def test_a_step_shows_one_frame_and_other_frames_of_the_same_person(people: Path) -> None:
    data = manager(people)
    datasets = [data.train_dataset, *data.train_dataset.metadata["others"]]
    seen = set()
    for step in range(24):
        bundle, batch = data.next_train(step)
        drawn = bundle.metadata["drawn"]
        assert isinstance(drawn, Drawn)
        seen.add(drawn.person)
        (target,) = bundle.metadata["frame_index"].unique().tolist()
        assert target not in drawn.references.frame.tolist()
        assert len(set(drawn.references.frame.tolist())) == 4
        dataset = datasets[drawn.person]
        by_index = {frame.index: row for row, frame in enumerate(dataset.frames)}
        for image, camera, frame in zip(
            drawn.references.images, drawn.references.camera_to_world, drawn.references.frame, strict=True
        ):
            row = by_index[int(frame)]
            np.testing.assert_array_equal(image.permute(1, 2, 0), dataset.frame(row).image)
            torch.testing.assert_close(camera, dataset.cameras.camera_to_worlds[row])
        assert float(drawn.references.lens[0]) == pytest.approx(2.7 * dataset.width)
        assert torch.equal(batch["lower_half"], drawn.lower_half)
        assert 0 < int(drawn.lower_half.sum()) < 64
    assert seen == {0, 1, 2}


def test_rays_of_each_person_pass_through_that_persons_lens(people: Path) -> None:
    """DFRF's released loader keeps the last person's focal length for all."""
    data = manager(people)
    widths = set()
    for step in range(12):
        bundle, batch = data.next_train(step)
        person = bundle.metadata["drawn"].person
        dataset = [data.train_dataset, *data.train_dataset.metadata["others"]][person]
        row, y, x = batch["indices"][0].tolist()
        pose = dataset.cameras.camera_to_worlds[row]
        focal, width = 2.7 * dataset.width, dataset.width
        across = torch.tensor([(x + 0.5 - width / 2) / focal, -(y + 0.5 - width / 2) / focal, -1.0])
        expected = pose[:, :3] @ across
        torch.testing.assert_close(bundle.directions[0], expected / expected.norm(), atol=1e-5, rtol=0)
        widths.add(width)
    assert widths == {48, 64}


def test_steps_are_repeatable_and_the_torso_is_the_shown_persons(people: Path) -> None:
    first, second = manager(people), manager(people)
    first.next_train(0)
    expected, actual = first.next_train(5), second.next_train(5)
    assert torch.equal(expected[0].origins, actual[0].origins)
    assert torch.equal(expected[0].metadata["drawn"].references.frame, actual[0].metadata["drawn"].references.frame)
    first.phase = "torso"
    for step in range(6):
        bundle, _ = first.next_train(step)
        assert "drawn" not in bundle.metadata
        assert bundle.metadata["pixel"].shape == (64, 2)


def test_rendering_reads_nobody_but_the_shown_person(people: Path) -> None:
    data = manager(people, "inference", shown="ben")
    assert data.train_dataset.metadata["others"] == []
    assert data.train_dataset.portrait.folder.name == "ben"
