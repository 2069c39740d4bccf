"""The best piece of a clip is the one where most happens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.data.format import Portrait, read_portrait
from ns_talking.data.segment import best_segment

NUM_FRAMES, NUM_TRAIN = 220, 200


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Portrait:
    """A clip in which nothing ever moves."""
    folder = write_tiny_portrait(tmp_path_factory.mktemp("clip"), num_frames=NUM_FRAMES, size=32)
    portrait = read_portrait(folder)
    frozen = np.repeat(portrait.landmarks[:1], NUM_FRAMES, axis=0)
    return replace(portrait, landmarks=frozen, head_poses=np.repeat(portrait.head_poses[:1], NUM_FRAMES, axis=0))


def silence() -> np.ndarray:
    return np.zeros((NUM_FRAMES, 4), np.float32)


def test_it_lies_where_the_sound_varies(still: Portrait) -> None:
    sound = silence()
    sound[100:150] = np.random.default_rng(0).normal(size=(50, 4))
    found = best_segment(still, sound, 2.0)
    assert found == list(range(found[0], found[0] + 50))
    assert found[0] == pytest.approx(100, abs=25)


def test_it_lies_where_the_lips_move(still: Portrait) -> None:
    moving = still.landmarks.copy()
    lower = np.array([65, 66, 67])
    moving[50:100, lower, 1] += 4 * np.sin(np.arange(50.0))[:, None]
    assert best_segment(replace(still, landmarks=moving), silence(), 2.0)[0] == pytest.approx(50, abs=25)


def test_it_lies_where_the_head_turns(still: Portrait) -> None:
    poses = still.head_poses.copy()
    turn = 0.2 * np.sin(np.arange(50.0))
    poses[120:170, 0, 2] += turn
    assert best_segment(replace(still, head_poses=poses), silence(), 2.0)[0] == pytest.approx(120, abs=25)


def test_held_out_frames_are_never_taken_and_a_short_clip_is_kept_whole(still: Portrait) -> None:
    sound = silence()
    sound[NUM_TRAIN:] = np.random.default_rng(0).normal(size=(NUM_FRAMES - NUM_TRAIN, 4))
    assert max(best_segment(still, sound, 4.0)) < NUM_TRAIN
    assert best_segment(still, sound, 60.0) == list(range(NUM_TRAIN))


def test_a_piece_needs_a_length(still: Portrait) -> None:
    with pytest.raises(ValueError, match="best 0 s of a clip needs a positive length"):
        best_segment(still, silence(), 0.0)
