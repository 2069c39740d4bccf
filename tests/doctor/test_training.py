"""Whether a training came to its end."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest

from ns_talking.doctor.training import finished
from ns_talking.methods.er_nerf import er_nerf


@pytest.mark.parametrize(
    ("step", "level", "found"), [(None, "warn", "0 of 10"), (3, "warn", "4 of 10"), (9, "pass", "10 of 10")]
)
def test_a_training_that_stopped_early_is_found_and_how_to_go_on_is_said(
    tmp_path: Path, step: int | None, level: str, found: str
) -> None:
    config = deepcopy(er_nerf.config)
    config.max_num_iterations = 10
    checkpoints = tmp_path / "nerfstudio_models"
    checkpoints.mkdir()
    if step is not None:
        (checkpoints / f"step-{step:09d}.ckpt").touch()
    verdict = finished(config, tmp_path / "config.yml")
    assert verdict.level == level and found in verdict.found
    assert (f"--load-dir {checkpoints}" in verdict.advice) == (level == "warn")
