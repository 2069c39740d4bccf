"""Checks of a training: is it finished, are its numbers sound, does the mouth follow the sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ns_talking.pipelines.health import thorough
from ns_talking.utils.verdicts import Verdict

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig

    from ns_talking.pipelines.portrait import PortraitPipeline


def training(pipeline: PortraitPipeline, config: TrainerConfig, config_path: Path) -> list[Verdict]:
    """Run all checks of a training.

    Args:
        pipeline: The portrait, as its last checkpoint has it.
        config: What it was trained with.
        config_path: Where that lies.
    """
    return [finished(config, config_path), *thorough(pipeline)]


def finished(config: TrainerConfig, config_path: Path) -> Verdict:
    """A training that stopped early has a dimmer head, and no torso at all: that comes last."""
    checkpoints = sorted((config_path.parent / "nerfstudio_models").glob("step-*.ckpt"))
    done = int(checkpoints[-1].stem.removeprefix("step-")) + 1 if checkpoints else 0
    whole = done >= config.max_num_iterations
    advice = (
        "" if whole else f"Go on: ns-train {config.method_name} --load-dir {config_path.parent / 'nerfstudio_models'}"
    )
    found = f"{done} of {config.max_num_iterations} iterations"
    return Verdict("finished", "pass" if whole else "warn", found, "The torso is trained last.", advice)
