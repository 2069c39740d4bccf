"""A base whose sounds are exchanged shows everyone with what another person says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.data.format import read_portrait


@pytest.fixture
def few_shot_base(benchmark_module: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_module("few_shot_base")


def test_everyone_is_seen_with_the_sound_of_the_next_one(few_shot_base: ModuleType, tmp_path: Path) -> None:
    for seed, name in enumerate(("ada", "ben", "cyd", "dan")):
        write_tiny_portrait(tmp_path / "people" / name, seed=seed)
    folder = few_shot_base.exchanged(tmp_path / "people", ("ben",), tmp_path / "exchanged")
    assert sorted(path.name for path in folder.iterdir()) == ["ada", "cyd", "dan"]
    for name, heard in (("ada", "cyd"), ("cyd", "dan"), ("dan", "ada")):
        new, seen, sound = (
            read_portrait(path) for path in (folder / name, *(_person(tmp_path, n) for n in (name, heard)))
        )
        np.testing.assert_array_equal(new.landmarks, seen.landmarks)
        assert new.audio is not None and sound.audio is not None
        assert new.audio.read_bytes() == sound.audio.read_bytes()
        np.testing.assert_array_equal(np.load(new.feature_files["mel"]), np.load(sound.feature_files["mel"]))


def test_clips_of_different_lengths_are_not_exchanged(few_shot_base: ModuleType, tmp_path: Path) -> None:
    for name, frames in (("ada", 11), ("ben", 22)):
        write_tiny_portrait(tmp_path / "people" / name, num_frames=frames)
    with pytest.raises(ValueError, match="two or more clips of one length, found frames: {'ada': 11, 'ben': 22}"):
        few_shot_base.exchanged(tmp_path / "people", (), tmp_path / "exchanged")


def _person(folder: Path, name: str) -> Path:
    return folder / "people" / name
