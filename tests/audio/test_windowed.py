"""Laws of windows cut beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ns_talking.audio.base import FeatureTable
from ns_talking.audio.windowed import WINDOWED_FILES, read_windowed


@pytest.mark.parametrize(
    ("name", "shape"), [("deepspeech", (16, 29)), ("esperanto", (16, 44)), ("hubert", (2, 1024)), ("ave", (1, 512))]
)
def test_every_known_layout_gives_the_window_of_each_frame(tmp_path: Path, name: str, shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).standard_normal((7, *shape)).astype(np.float32)
    np.save(tmp_path / WINDOWED_FILES[name], values)
    features = read_windowed(tmp_path / WINDOWED_FILES[name])
    assert isinstance(features, FeatureTable)
    assert (features.name, features.window, features.channels) == (name, *shape)
    assert features.duration_s == 7 / 25
    windows = features.windows(np.arange(7) / 25)
    np.testing.assert_array_equal(windows, values.transpose(0, 2, 1))
    np.testing.assert_array_equal(features.windows(np.array([-0.04, 7 / 25])), 0)


def test_rows_without_a_window_are_windows_of_one_step_where_the_layout_has_them(tmp_path: Path) -> None:
    np.save(tmp_path / "aud_ave.npy", np.ones((7, 512), np.float32))
    assert read_windowed(tmp_path / "aud_ave.npy").windows(np.array([0.0])).shape == (1, 512, 1)


def test_every_known_layout_knows_how_far_its_windows_are_apart(tmp_path: Path) -> None:
    for name, file in WINDOWED_FILES.items():
        np.save(tmp_path / file, np.zeros((4, 2, 3), np.float32))
        features = read_windowed(tmp_path / file)
        assert features.steps_per_frame(25.0) == (1 if name == "ave" else 2)
        assert features.steps_per_frame(30.0) is None


def test_a_file_whose_name_says_nothing_needs_one(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.zeros((3, 16, 29)))
    with pytest.raises(ValueError, match=r"does not say which features.*aud_ds.npy"):
        read_windowed(tmp_path / "mine.npy")
    assert read_windowed(tmp_path / "mine.npy", "deepspeech").channels == 29


def test_what_is_no_array_of_windows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Extract the audio features"):
        read_windowed(tmp_path / "aud_ds.npy")
    np.save(tmp_path / "aud_ds.npy", np.zeros((3, 29)))
    with pytest.raises(ValueError, match=r"\[frames, window, channels\], found shape \(3, 29\)"):
        read_windowed(tmp_path / "aud_ds.npy")
    (tmp_path / "aud_eo.npy").write_text("nonsense")
    with pytest.raises(ValueError, match="not an array of audio windows"):
        read_windowed(tmp_path / "aud_eo.npy")
