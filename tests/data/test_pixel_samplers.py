"""Samplers keep their shares, stay in their boxes and are functions of the step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.data.face_boxes import FaceBoxes, face_boxes, inside
from ns_talking.data.face_classes import NUM_CLASSES
from ns_talking.data.format import Portrait, read_portrait
from ns_talking.data.frame_store import FrameStore
from ns_talking.data.pixel_samplers import (
    SAMPLERS,
    AlternatingPixelSamplerConfig,
    ClassBudget,
    LipsPixelSamplerConfig,
    MouthPixelSamplerConfig,
    PatchesPixelSamplerConfig,
    PixelGroup,
    PortraitPixelSampler,
    PortraitPixelSamplerConfig,
)
from ns_talking.utils.registry import lookup


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Portrait:
    return read_portrait(write_tiny_portrait(tmp_path_factory.mktemp("portrait"), num_frames=44))


@pytest.fixture(scope="module")
def boxes(portrait: Portrait) -> FaceBoxes:
    return face_boxes(portrait, [frame.index for frame in portrait.split("train")], 48, 48)


@pytest.fixture(scope="module")
def budget(portrait: Portrait) -> ClassBudget:
    store, frames = FrameStore(portrait, 48, 48, 1 << 30, face_classes=True), portrait.split("train")
    return ClassBudget(lambda row: store.frame(frames[row]).classes, np.linspace(0.01, 0.3, NUM_CLASSES))


@pytest.fixture
def make(boxes: FaceBoxes, budget: ClassBudget) -> Callable[..., PortraitPixelSampler]:
    def make_sampler(config: PortraitPixelSamplerConfig, **settings: object) -> PortraitPixelSampler:
        options = {"num_rays_per_batch": 1536, "frames_per_batch": 8, "budget": budget, **settings}
        return config.setup(boxes=boxes, **options)

    return make_sampler


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_are_functions_of_seed_process_and_step(name: str, make: Callable[..., PortraitPixelSampler]) -> None:
    config = lookup(SAMPLERS, name, "pixel samplers")()
    first, again = make(config), make(config)
    for step in (3, 0, 7):
        np.testing.assert_array_equal(first.sample(step).indices, again.sample(step).indices)
    picked = first.sample(3).indices
    for other in (first.sample(4), make(config, seed=1).sample(3), make(config, rank=1).sample(3)):
        assert other.indices.shape != picked.shape or (other.indices != picked).any()


@pytest.mark.parametrize("name", SAMPLERS)
def test_pixels_lie_in_the_image_and_come_frame_by_frame(
    name: str, make: Callable[..., PortraitPixelSampler], boxes: FaceBoxes
) -> None:
    sampler = make(lookup(SAMPLERS, name, "pixel samplers")())
    for step in range(5):
        picked = sampler.sample(step)
        frame, y, x = picked.indices.T
        assert ((y >= 0) & (y < boxes.height) & (x >= 0) & (x < boxes.width)).all()
        assert (np.diff(frame) >= 0).all()
        assert set(frame) <= set(sampler.frames(step))
        assert len(picked.group) == len(frame)


def test_mouth_sampler_keeps_its_shares_in_every_frame(
    make: Callable[..., PortraitPixelSampler], boxes: FaceBoxes
) -> None:
    sampler = make(MouthPixelSamplerConfig(mouth_share=0.4, eye_share=0.1, face_share=0.2))
    picked = sampler.sample(5)
    frame, y, x = picked.indices.T
    assert len(frame) == 1536
    assert len(set(frame)) == 8
    counts = {group: (picked.group == group).sum() for group in PixelGroup}
    assert counts[PixelGroup.MOUTH] == round(0.4 * 1536)
    assert counts[PixelGroup.EYES] == round(0.1 * 1536)
    assert counts[PixelGroup.FACE] == round(0.2 * 1536)
    for one in set(frame):
        assert abs((picked.group[frame == one] == PixelGroup.MOUTH).sum() - 0.4 * 192) <= 1
    mouth = picked.group == PixelGroup.MOUTH
    assert inside(boxes.mouth[frame], x, y)[mouth].all()
    eyes = picked.group == PixelGroup.EYES
    in_eyes = inside(boxes.right_eye[frame], x, y) | inside(boxes.left_eye[frame], x, y)
    assert in_eyes[eyes].all()


def test_blink_frames_are_drawn_more_often(make: Callable[..., PortraitPixelSampler], boxes: FaceBoxes) -> None:
    sampler = make(MouthPixelSamplerConfig(blink_frames=2))
    for step in range(20):
        frames = sampler.frames(step)
        assert len(set(frames)) == 8
        assert (boxes.blink[frames] > 0.3).sum() >= 2


def test_shares_beyond_one_are_refused(make: Callable[..., PortraitPixelSampler]) -> None:
    with pytest.raises(ValueError, match="sum to at most 1"):
        make(MouthPixelSamplerConfig(mouth_share=0.8, eye_share=0.3)).sample(0)


def test_lips_patch_is_the_whole_square_row_by_row(make: Callable[..., PortraitPixelSampler], boxes: FaceBoxes) -> None:
    picked = make(LipsPixelSamplerConfig()).sample(2)
    frame, y, x = picked.indices.T
    x0, y0, x1, y1 = boxes.lips[frame[0]]
    assert picked.patch == x1 - x0 == y1 - y0
    expected_y, expected_x = np.mgrid[y0:y1, x0:x1]
    np.testing.assert_array_equal(y, expected_y.reshape(-1))
    np.testing.assert_array_equal(x, expected_x.reshape(-1))
    assert (picked.group == PixelGroup.LIPS).all()


def test_patches_are_squares_one_after_the_other(make: Callable[..., PortraitPixelSampler]) -> None:
    picked = make(PatchesPixelSamplerConfig(side=16), num_rays_per_batch=5 * 256 + 3).sample(1)
    assert picked.patch == 16
    patches = picked.indices.reshape(5, 16, 16, 3)
    assert (patches[..., 0] == patches[:, :1, :1, 0]).all()
    assert (np.diff(patches[..., 1], axis=1) == 1).all()
    assert (np.diff(patches[..., 2], axis=2) == 1).all()


def test_patches_larger_than_the_image_are_refused(make: Callable[..., PortraitPixelSampler]) -> None:
    with pytest.raises(ValueError, match="larger working size"):
        make(PatchesPixelSamplerConfig(side=64)).sample(0)


def test_alternating_takes_the_lips_and_then_pixels_from_anywhere(make: Callable[..., PortraitPixelSampler]) -> None:
    sampler = make(AlternatingPixelSamplerConfig())
    even, odd = sampler.sample(6), sampler.sample(7)
    assert even.patch is not None and (even.group == PixelGroup.LIPS).all()
    assert odd.patch is None and (odd.group == PixelGroup.ANYWHERE).all()
