"""Laws of made-up and written blinks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ns_talking.driving.blinks import blinks, natural_blinks, read_blinks


def starts(blink: np.ndarray) -> np.ndarray:
    closed = blink > 0.5
    return np.flatnonzero(closed[1:] & ~closed[:-1])


def test_people_blink_ten_to_twenty_five_times_a_minute_and_never_in_step() -> None:
    begins = starts(natural_blinks(10 * 60 * 25, 25.0))
    assert 100 < len(begins) < 250
    pauses = np.diff(begins) / 25
    assert pauses.min() > 0.8 and pauses.std() > 0.3 * pauses.mean()


def test_a_blink_shuts_the_eye_for_a_moment_and_opens_slower_than_it_closes() -> None:
    blink = natural_blinks(60 * 100, 100.0)
    assert blink.min() == 0 and blink.max() > 0.99
    open_again = np.diff(np.flatnonzero(blink == 0))
    assert 20 < open_again[open_again > 1].mean() < 45
    assert np.diff(blink).max() > 1.5 * -np.diff(blink).min()


def test_the_same_seed_blinks_at_the_same_instants_whatever_the_length() -> None:
    np.testing.assert_array_equal(natural_blinks(500, 25.0), natural_blinks(900, 25.0)[:500])
    assert (natural_blinks(500, 25.0, seed=1) != natural_blinks(500, 25.0)).any()
    assert len(natural_blinks(1, 25.0)) == 1


def test_blinks_are_read_from_arrays_tables_and_openface(tmp_path: Path) -> None:
    wanted = np.array([0, 0.25, 1], np.float32)
    np.save(tmp_path / "a.npy", wanted)
    (tmp_path / "b.csv").write_text("0\n0.25\n1\n")
    (tmp_path / "c.csv").write_text("frame, timestamp, AU45_r\n1, 0.0, 0.0\n2, 0.04, 0.5\n3, 0.08, 4.0\n")
    for name in ("a.npy", "b.csv", "c.csv"):
        np.testing.assert_array_equal(read_blinks(tmp_path / name), wanted)


def test_a_short_file_is_played_forward_and_backward(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([0, 0.5, 1], np.float32))
    assert blinks(str(tmp_path / "a.npy"), np.zeros(7, np.float32), 25.0).tolist() == [0, 0.5, 1, 1, 0.5, 0, 0]


def test_lids_are_held_at_least_as_far_closed_as_asked() -> None:
    own = np.array([0, 0.2, 1], np.float32)
    assert blinks("track", own, 25.0) is own
    np.testing.assert_allclose(blinks("track", own, 25.0, eyes=0.5), [0.5, 0.5, 1])
    np.testing.assert_allclose(blinks("off", own, 25.0, eyes=0.1), 0.1)


@pytest.mark.parametrize("text", ["0.5\ntwo\n", "0.5\n3\n", ""])
def test_what_is_no_track_of_blinks_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match="one number per frame"):
        read_blinks(tmp_path / "a.csv")
