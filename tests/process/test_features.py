from __future__ import annotations

from pathlib import Path

import numpy as np
from painted_clip import no_progress, paint, painted_workspace

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


def test_other_features_are_another_step() -> None:
    assert list(FeaturesStep().settings_key(ProcessSettings(audio_features=("mel",)))) == ["mel"]
