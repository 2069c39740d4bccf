"""Commands that are killed finish with the result of a run that nobody disturbed; `make torture` kills oftener."""

from __future__ import annotations

from pathlib import Path

import killing
import pytest


@pytest.mark.parametrize("name", ["train", "render"])
def test_a_killed_command_goes_on_to_the_same_result(name: str, trained: Path, tmp_path: Path) -> None:
    made = {
        "train": lambda: killing.train(killing.tiny(tmp_path)),
        "render": lambda: killing.render(trained, killing.speech(tmp_path, 11.0)),
    }
    command = made[name]()
    expected, whole_s = killing.undisturbed(command, tmp_path)
    found = killing.torture(command, tmp_path, expected, whole_s, kills=2, seed=1)
    assert len(found.kills_s) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "process"])
def test_a_killed_command_on_real_clips_goes_on_to_the_same_result(
    name: str, shared: Path, trained: Path, tmp_path: Path
) -> None:
    models = shared / "models"
    made = {
        "evaluate": lambda: killing.evaluate(trained, models),
        "process": lambda: killing.process(shared / "clips/longhair_8s.mp4", models, 2.0),
    }
    command = made[name]()
    expected, whole_s = killing.undisturbed(command, tmp_path)
    found = killing.torture(command, tmp_path, expected, whole_s, kills=2, seed=1)
    assert len(found.kills_s) == 2
