"""References are other frames of the same clip, the same for the same step."""

from __future__ import annotations

import numpy as np
import pytest

from ns_talking.data.references import Choice, choose_references, draw_references


def test_a_target_is_never_its_own_reference() -> None:
    targets = np.array([2, 5])
    for seed in range(50):
        rows = draw_references(7, targets, 4, np.random.default_rng(seed))
        assert len(set(rows.tolist())) == 4
        assert not set(rows.tolist()) & {2, 5}


@pytest.mark.parametrize("choice", ["uniform", "fixed", "audio-medoids"])
@pytest.mark.parametrize("num_frames", [4, 5, 250])
def test_every_choice_gives_distinct_frames_in_order(choice: Choice, num_frames: int) -> None:
    heard = np.random.default_rng(0).standard_normal((num_frames, 3)).astype(np.float32)
    rows = choose_references(num_frames, 4, choice, heard)
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= 0 and rows.max() < num_frames


def test_medoids_hold_one_frame_of_every_kind_of_sound() -> None:
    kinds = np.repeat([0, 1, 2, 3], [70, 10, 10, 10])
    heard = np.eye(4)[kinds] + 0.01 * np.random.default_rng(0).standard_normal((100, 4))
    rows = choose_references(100, 4, "audio-medoids", heard.astype(np.float32))
    assert set(kinds[rows]) == {0, 1, 2, 3}
    assert set(kinds[choose_references(100, 4, "uniform")]) != {0, 1, 2, 3}


def test_fixed_references_are_those_of_the_released_test() -> None:
    assert choose_references(300, 4, "fixed").tolist() == [50, 100, 150, 200]


def test_too_short_a_clip_is_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match="4 reference frames were asked for, and there are 3 training frames"):
        draw_references(4, np.array([0]), 4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="--pipeline.model.num-references N"):
        choose_references(3, 4, "uniform")
