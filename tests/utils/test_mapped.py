"""Tables that are read part by part give what they give as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ns_talking.utils import mapped
from ns_talking.utils.mapped import in_parts, measured, release


@pytest.fixture(params=["memory", "disk"])
def table(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setattr(mapped, "_PART", 7)
    values = np.random.default_rng(0).random((23, 3)).astype(np.float32)
    np.save(tmp_path / "table.npy", values)
    return values if request.param == "memory" else np.load(tmp_path / "table.npy", mmap_mode="r")


def test_parts_are_the_table(table: np.ndarray) -> None:
    parts = list(in_parts(table))
    assert [len(part) for part in parts] == [7, 7, 7, 2]
    np.testing.assert_array_equal(np.concatenate(parts), table.astype(np.float64))


def test_parts_overlap_where_neighbours_are_compared(table: np.ndarray) -> None:
    steps = [np.diff(part, axis=0) for part in in_parts(table, overlap=1)]
    np.testing.assert_array_equal(np.concatenate(steps), np.diff(table.astype(np.float64), axis=0))


def test_a_measure_of_parts_is_that_of_the_whole(table: np.ndarray) -> None:
    np.testing.assert_array_equal(measured(table, lambda part: part.sum(axis=1)), table.astype(np.float64).sum(axis=1))


def test_what_was_written_is_kept_when_its_memory_is_handed_back(tmp_path: Path) -> None:
    written = np.lib.format.open_memmap(tmp_path / "table.npy", "w+", np.float32, (1000, 5))
    written[:] = 3
    release(written)
    assert (written == 3).all() and (np.load(tmp_path / "table.npy") == 3).all()
