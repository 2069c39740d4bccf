from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from painted_clip import no_progress, paint, painted_workspace
from speech_models import CHANNELS, install

from ns_talking.audio import FEATURES
from ns_talking.process.features import FeaturesStep
from ns_talking.process.step import ProcessSettings
from ns_talking.utils.registry import lookup


def test_the_table_is_what_the_extractor_gives(tmp_path: Path) -> None:
    workspace = painted_workspace(tmp_path / "data", [paint()] * 25)
    figures = FeaturesStep().run(workspace, no_progress)
    expected = lookup(FEATURES, "mel", "audio features")().extract(workspace.audio).values
    np.testing.assert_array_equal(np.load(workspace.features / "mel.npy"), expected)
    assert figures["mel"]["steps"] == len(expected)
    assert FeaturesStep().outputs(workspace) == [workspace.features / "mel.npy"]


def test_speech_features_say_what_they_are_in_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = painted_workspace(tmp_path / "data", [paint()] * 25)
    install("hubert", tmp_path / "models", monkeypatch)
    monkeypatch.delenv("NS_TALKING_MODELS")
    settings = replace(workspace.settings, audio_features=("hubert",), models=tmp_path / "models")
    workspace = replace(workspace, settings=settings)
    figures = FeaturesStep().run(workspace, no_progress)
    described = json.loads((workspace.features / "hubert.json").read_text())
    identities = FeaturesStep().settings_key(settings)
    assert described["identity"] == figures["hubert"]["identity"] == identities["hubert"]
    assert "facebook/hubert-large-ls960-ft@ece5fabbf034 sha256=" in described["identity"]
    assert np.load(workspace.features / "hubert.npy").shape == (51, CHANNELS)


def test_other_features_are_another_step() -> None:
    assert list(FeaturesStep().settings_key(ProcessSettings(audio_features=("mel",)))) == ["mel"]
