"""Laws of finding audio features by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from speech_models import install

from ns_talking.audio import FEATURES
from ns_talking.audio.io import write_wav
from ns_talking.driving.features import extract_features, preferred_features, read_features


@pytest.mark.parametrize("name", FEATURES)
def test_features_read_back_are_those_extracted(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(name, tmp_path / "models", monkeypatch)
    write_wav(tmp_path / "a.wav", np.random.default_rng(0).uniform(-1, 1, 16000).astype(np.float32))
    extracted = extract_features(name, tmp_path / "a.wav", tmp_path / f"{name}.npy")
    found = read_features(name, tmp_path / f"{name}.npy")
    assert found.identity == extracted.identity
    instants_s = np.arange(25) / 25
    np.testing.assert_array_equal(found.windows(instants_s), extracted.windows(instants_s))


def test_windows_of_other_tools_are_read_by_name_but_not_extracted(tmp_path: Path) -> None:
    np.save(tmp_path / "aud_ds.npy", np.ones((5, 16, 29), np.float32))
    assert read_features("deepspeech", tmp_path / "aud_ds.npy").channels == 29
    with pytest.raises(
        ValueError, match=r"no extractor for them.*--features FILE, or train it on features that ns-talking extracts"
    ):
        extract_features("deepspeech", tmp_path / "a.wav")


def test_a_training_that_leaves_it_open_takes_hubert_where_there_is_a_table_of_ours() -> None:
    mel, hubert, theirs = Path("features/mel.npy"), Path("features/hubert.npy"), Path("aud_hu.npy")
    assert preferred_features({"mel": mel}) == "mel"
    assert preferred_features({"mel": mel, "whisper": mel, "hubert": hubert}) == "hubert"
    assert preferred_features({"hubert": theirs, "mel": mel}) == "mel"
    assert preferred_features({}) == "mel"


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Known: mel"):
        extract_features("mell", tmp_path / "a.wav")
