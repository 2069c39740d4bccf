"""Pixels by class: as many as the losses ask for, spread evenly within a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.data.class_sampler import ClassPixelSamplerConfig
from ns_talking.data.face_classes import NUM_CLASSES, FaceClass
from ns_talking.data.pixel_samplers import PixelGroup
from ns_talking.data.portrait_datamanager import PortraitDataManager, PortraitDataManagerConfig
from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_portrait(tmp_path_factory.mktemp("portrait") / "tiny", num_frames=22)


def manager(folder: Path, **options: object) -> PortraitDataManager:
    config = PortraitDataManagerConfig(
        data=folder,
        dataparser=TalkingPortraitDataParserConfig(),
        train_num_rays_per_batch=1500,
        seed=0,
        **{"pixel_sampler": ClassPixelSamplerConfig(cap=1.0, floor=0.0), "face_classes": True, **options},
    )
    return config.setup(device="cpu")


def test_rays_follow_the_losses_and_carry_their_class(folder: Path) -> None:
    data = manager(folder)
    assert data.budget is not None
    _, batch = data.next_train(0)
    assert (batch["group"] == PixelGroup.ANYWHERE).all()
    losses = np.zeros(NUM_CLASSES)
    losses[[FaceClass.SKIN, FaceClass.CLOTHES]] = 3.0, 1.0
    data.budget.losses = losses
    _, batch = data.next_train(1)
    assert (batch["group"] == PixelGroup.CLASS).all()
    counts = np.bincount(batch["face_class"], minlength=NUM_CLASSES)
    assert counts[FaceClass.SKIN] == pytest.approx(1125, abs=8)
    assert counts[FaceClass.CLOTHES] == pytest.approx(375, abs=8)


def test_a_share_of_the_rays_lies_anywhere_whatever_the_losses_say(folder: Path) -> None:
    data = manager(folder, pixel_sampler=ClassPixelSamplerConfig(cap=1.0, floor=0.0, anywhere_share=0.2))
    losses = np.zeros(NUM_CLASSES)
    losses[FaceClass.SKIN] = 1.0
    assert data.budget is not None
    data.budget.losses = losses
    _, batch = data.next_train(0)
    by_loss = batch["group"] == PixelGroup.CLASS
    assert int((~by_loss).sum()) == 300
    assert (batch["group"][~by_loss] == PixelGroup.ANYWHERE).all()
    assert (batch["face_class"][by_loss] == FaceClass.SKIN).all()
    assert len(batch["face_class"][~by_loss].unique()) > 4
    assert (batch["indices"][:, 0].diff() >= 0).all()


def test_a_share_of_the_rays_lies_right_beside_the_person_whatever_the_losses_say(folder: Path) -> None:
    sampler = ClassPixelSamplerConfig(cap=1.0, floor=0.0, anywhere_share=0.2, edge_share=0.1, edge_width=0.05)
    data = manager(folder, pixel_sampler=sampler)
    assert data.budget is not None
    data.budget.losses = np.eye(NUM_CLASSES)[FaceClass.SKIN]
    _, batch = data.next_train(0)
    group = batch["group"].numpy()
    assert np.bincount(group, minlength=8)[[PixelGroup.CLASS, PixelGroup.ANYWHERE, PixelGroup.EDGE]].tolist() == [
        1050,
        300,
        150,
    ]
    beside = group == PixelGroup.EDGE
    assert (batch["face_class"][beside] == FaceClass.BACKGROUND).all()
    for row, y, x in batch["indices"].numpy()[beside]:
        classes = data.train_dataset.frame(int(row)).classes
        # 5 % of 64 px.
        assert (classes[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] != FaceClass.BACKGROUND).any()
    assert (batch["indices"][:, 0].diff() >= 0).all()


def test_shares_that_leave_no_rays_for_the_losses_are_refused(folder: Path) -> None:
    data = manager(folder, pixel_sampler=ClassPixelSamplerConfig(anywhere_share=0.7, edge_share=0.4))
    assert data.budget is not None
    data.budget.losses = np.ones(NUM_CLASSES)
    with pytest.raises(ValueError, match="sum to at most 1"):
        data.next_train(0)


def test_within_a_class_every_pixel_is_as_likely_as_any_other(folder: Path) -> None:
    data = manager(folder)
    losses = np.zeros(NUM_CLASSES)
    losses[FaceClass.SKIN] = 1.0
    assert data.budget is not None
    data.budget.losses = losses
    places = np.concatenate([data.next_train(step)[1]["indices"][:, 1:].numpy() for step in range(20)])
    frames = [data.train_dataset.frame(row).classes for row in range(20)]
    expected = np.concatenate([np.argwhere(one == FaceClass.SKIN) for one in frames])
    np.testing.assert_allclose(places.mean(axis=0), expected.mean(axis=0), atol=0.5)
    np.testing.assert_allclose(places.std(axis=0), expected.std(axis=0), rtol=0.05)


def test_the_background_is_looked_at_along_the_outline_of_the_person(folder: Path) -> None:
    def near(share: float) -> float:
        data = manager(folder, pixel_sampler=ClassPixelSamplerConfig(contour_share=share, contour_width=0.05))
        assert data.budget is not None
        data.budget.losses = np.eye(NUM_CLASSES)[FaceClass.BACKGROUND]
        hits = []
        for step in range(4):
            batch = data.next_train(step)[1]
            behind = batch["face_class"].numpy() == FaceClass.BACKGROUND
            for row, y, x in batch["indices"].numpy()[behind]:
                classes = data.train_dataset.frame(int(row)).classes
                # 5 % of 64 px.
                hits.append((classes[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] != FaceClass.BACKGROUND).any())
        return float(np.mean(hits))

    anywhere = near(0.0)
    assert anywhere < 0.4
    assert near(1.0) == 1
    assert near(0.5) == pytest.approx(0.5 + 0.5 * anywhere, abs=0.05)


def test_a_sampler_by_class_without_classes_says_what_to_switch_on(folder: Path) -> None:
    with pytest.raises(ValueError, match="--pipeline.datamanager.face-classes True"):
        manager(folder, face_classes=False).next_train(0)
