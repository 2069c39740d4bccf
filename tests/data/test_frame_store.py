"""Frames stay within their budget and are resized without bleeding."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.data.decoding import FrameDecoder
from ns_talking.data.format import Portrait, Region, read_portrait
from ns_talking.data.frame_store import FrameStore
from ns_talking.data.portrait_dataset import DEFAULT_CACHE_GIB


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Portrait:
    return read_portrait(write_tiny_portrait(tmp_path_factory.mktemp("portrait"), num_frames=22))


def test_kept_frames_never_exceed_the_budget(portrait: Portrait) -> None:
    frame_bytes = 64 * 64 * 8
    store = FrameStore(portrait, 64, 64, max_bytes=3 * frame_bytes)
    for frame in [*portrait.frames, *portrait.frames]:
        store.frame(frame)
        assert store.num_bytes <= 3 * frame_bytes
    assert store.num_bytes == 3 * frame_bytes


def test_the_default_budget_leaves_half_of_8_gib_to_everything_else() -> None:
    assert DEFAULT_CACHE_GIB <= 4


def test_kept_frames_are_not_decoded_again_and_dropped_ones_are_equal(
    portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    decode = FrameDecoder.decode
    monkeypatch.setattr(
        FrameDecoder, "decode", lambda self, frame: (decoded.append(frame.index), decode(self, frame))[1]
    )
    store = FrameStore(portrait, 64, 64, max_bytes=2 * 64 * 64 * 8)
    first = store.frame(portrait.frames[0])
    kept = store.frame(portrait.frames[0])
    assert decoded == [0]
    np.testing.assert_array_equal(kept.packed, first.packed)
    for frame in portrait.frames[1:4]:
        store.frame(frame)
    again = store.frame(portrait.frames[0])
    assert decoded == [0, 1, 2, 3, 0]
    np.testing.assert_array_equal(again.packed, first.packed)


def test_threads_and_prefetching_give_the_same_frames_and_keep_the_budget(portrait: Portrait) -> None:
    expected = [FrameStore(portrait, 32, 32, 1 << 30).frame(frame).packed for frame in portrait.frames]
    store = FrameStore(portrait, 32, 32, max_bytes=5 * 32 * 32 * 8)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            store.prefetch(portrait.frames)
            for wanted, found in zip(expected, pool.map(store.frame, portrait.frames), strict=True):
                np.testing.assert_array_equal(found.packed, wanted)
    assert store.num_bytes <= 5 * 32 * 32 * 8


def test_layers_are_views_of_the_packed_pixels(portrait: Portrait) -> None:
    image = FrameStore(portrait, 64, 64, 1 << 30).frame(portrait.frames[3])
    assert image.pixels.shape == (64 * 64,)
    np.testing.assert_array_equal(image.pixels[:5].view(np.uint8).reshape(5, 8), image.packed[0, :5])


def test_the_background_is_the_plate_even_where_it_was_filmed_differently(tmp_path: Path) -> None:
    portrait = read_portrait(write_tiny_portrait(tmp_path, num_frames=3, num_train=2))
    path = portrait.frames[0].image
    image = cv2.imread(str(path))
    parsing = cv2.imread(str(portrait.frames[0].parsing), cv2.IMREAD_GRAYSCALE)
    image[parsing == Region.BACKGROUND] = 255
    cv2.imwrite(str(path), image)
    store = FrameStore(portrait, 64, 64, 1 << 30)
    frame = store.frame(portrait.frames[0])
    outside = frame.parsing == Region.BACKGROUND
    np.testing.assert_array_equal(frame.image[outside], store.background[outside])


def test_resized_torso_keeps_its_colour_up_to_its_edge(portrait: Portrait) -> None:
    stored = cv2.imread(str(portrait.frames[0].torso), cv2.IMREAD_UNCHANGED)
    colour = stored[stored[..., 3] > 0][0, [2, 1, 0]]
    torso = FrameStore(portrait, 24, 24, 1 << 30).frame(portrait.frames[0]).torso
    edge = (torso[..., 3] > 30) & (torso[..., 3] < 255)
    assert edge.any()
    assert np.abs(torso[edge][:, :3].astype(int) - colour).max() <= 5


def test_behind_is_the_torso_over_the_plate(portrait: Portrait) -> None:
    frame = FrameStore(portrait, 24, 24, 1 << 30).frame(portrait.frames[0])
    solid, clear = frame.torso[..., 3] == 255, frame.torso[..., 3] == 0
    np.testing.assert_array_equal(frame.behind[solid], frame.torso[solid][:, :3])
    np.testing.assert_array_equal(frame.behind[clear], frame.background[clear])


def test_an_image_of_another_size_names_the_file(tmp_path: Path) -> None:
    portrait = read_portrait(write_tiny_portrait(tmp_path, num_frames=3, num_train=2))
    path = portrait.frames[1].image
    cv2.imwrite(str(path), np.zeros((10, 12, 3), np.uint8))
    with pytest.raises(ValueError, match="12x10 px, the dataset says 64x64"):
        FrameStore(portrait, 32, 32, 1 << 30).frame(portrait.frames[1])
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=path.name):
        FrameStore(portrait, 32, 32, 1 << 30).frame(portrait.frames[1])
