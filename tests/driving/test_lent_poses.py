"""Laws of head poses that are lent."""

from __future__ import annotations

import numpy as np
import pytest

from ns_talking.driving.lent_poses import LentPoses

CLIP = np.random.default_rng(0).standard_normal((7, 4, 4))
ORDER = np.array([0, 3, 6, 6, 3, 0, 2])


@pytest.mark.parametrize("frames", [2, np.int64(2), -1, slice(1, 4), np.array([4, 0, 4])])
def test_lent_poses_are_those_of_the_clip_written_out(frames: int | np.integer | slice | np.ndarray) -> None:
    np.testing.assert_array_equal(LentPoses(CLIP, ORDER)[frames], CLIP[ORDER][frames])


def test_all_of_them_are_an_array() -> None:
    lent = LentPoses(CLIP, ORDER)
    np.testing.assert_array_equal(np.asarray(lent), CLIP[ORDER])
    assert np.asarray(lent, np.float32).dtype == np.float32
    assert (len(lent), lent.shape, lent.dtype) == (7, (7, 4, 4), CLIP.dtype)


def test_an_hour_takes_no_memory_of_its_own() -> None:
    order = np.zeros(90_000, dtype=np.int64)
    lent = LentPoses(CLIP, order)
    assert lent._order is order and lent._clip is CLIP
