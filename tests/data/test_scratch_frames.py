"""Frames in a temporary file come back as they were, within their room, and a full disk only slows things down."""

from __future__ import annotations

import errno
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ns_talking.data.scratch_frames import ScratchFrames

WIDTH, HEIGHT = 6, 4
FRAME_BYTES = WIDTH * HEIGHT * 8


def _frame(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (HEIGHT, WIDTH, 8), dtype=np.uint8)


def test_frames_come_back_and_the_least_recently_used_one_goes() -> None:
    kept = ScratchFrames(WIDTH, HEIGHT, 3 * FRAME_BYTES)
    for index in (7, 1, 4):
        kept.put(index, _frame(index))
    np.testing.assert_array_equal(kept.get(7), _frame(7))
    kept.put(9, _frame(9))
    assert [index in kept for index in (1, 4, 7, 9)] == [False, True, True, True]
    assert kept.get(1) is None
    for index in (4, 7, 9):
        np.testing.assert_array_equal(kept.get(index), _frame(index))
    assert kept.num_bytes == 3 * FRAME_BYTES


def test_one_frame_is_kept_even_when_it_alone_exceeds_the_room() -> None:
    kept = ScratchFrames(WIDTH, HEIGHT, 1)
    for index in range(2):
        kept.put(index, _frame(index))
        np.testing.assert_array_equal(kept.get(index), _frame(index))
    assert kept.num_bytes == FRAME_BYTES


def test_less_room_forgets_what_does_not_fit_and_more_is_not_given() -> None:
    kept = ScratchFrames(WIDTH, HEIGHT, 4 * FRAME_BYTES)
    for index in range(4):
        kept.put(index, _frame(index))
    kept.get(0)
    kept.limit(2 * FRAME_BYTES)
    assert kept.num_bytes == 2 * FRAME_BYTES
    kept.limit(9 * FRAME_BYTES)
    for index in (5, 6, 7):
        kept.put(index, _frame(index))
        np.testing.assert_array_equal(kept.get(index), _frame(index))
    assert kept.num_bytes == 2 * FRAME_BYTES


def test_threads_read_whole_frames_while_others_are_replaced() -> None:
    kept = ScratchFrames(WIDTH, HEIGHT, 5 * FRAME_BYTES)

    def use(number: int) -> None:
        index = number % 11
        kept.put(index, _frame(index))
        packed = kept.get(index)
        assert packed is None or np.array_equal(packed, _frame(index))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(400)))


def test_the_file_leaves_no_name_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = ScratchFrames(WIDTH, HEIGHT, FRAME_BYTES)
    kept.put(0, _frame(0))
    del kept
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_once_and_costs_no_frame(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ScratchFrames(WIDTH, HEIGHT, 10 * FRAME_BYTES)
    kept.put(0, _frame(0))
    kept.put(1, _frame(1))
    write = ScratchFrames._write

    def full(self: ScratchFrames, slot: int, packed: np.ndarray) -> None:
        if slot >= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, slot, packed)

    monkeypatch.setattr(ScratchFrames, "_write", full)
    for index in range(2, 6):
        kept.put(index, _frame(index))
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("(No space left on device): 2 are kept, others are decoded again") == 1
    assert "name another folder in TMPDIR" in said
    for index in (4, 5):
        np.testing.assert_array_equal(kept.get(index), _frame(index))


def test_a_disk_without_any_room_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(**_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory")

    monkeypatch.setattr(tempfile, "TemporaryFile", missing)
    kept = ScratchFrames(WIDTH, HEIGHT, 10 * FRAME_BYTES)
    for index in range(3):
        kept.put(index, _frame(index))
        assert kept.get(index) is None
    assert " ".join(capsys.readouterr().out.split()).count("0 are kept") == 1
