"""Learning rates that follow the phases of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro
from nerfstudio.engine.schedulers import Scheduler, SchedulerConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from ns_talking.pipelines.phases import PhasesConfig


@dataclass
class PhaseDecayConfig(SchedulerConfig):
    """Exponential decay within each phase."""

    _target: type = field(default_factory=lambda: PhaseDecay)
    head_final: float = 0.5
    """Factor on the learning rate at the end of the head phase; it begins at 1."""
    lips_initial: float = 0.091
    """Factor at the start of the lips phase."""
    lips_final: float = 0.05
    """Factor at the end of the lips phase."""
    torso_final: float = 0.5
    """Factor at the end of the torso phase; it begins at 1."""
    phases: Annotated[PhasesConfig | None, tyro.conf.Suppress] = None
    """Set by the trainer to the phases of the run."""


class PhaseDecay(Scheduler):
    """Scales the learning rate by the step's place in its phase, so that a resumed run continues alike.

    Source:
        ER-NeRF's schedule: 0.5^(step / length) for head and torso; in the lips phase 0.05^(step / total), which
        falls from 0.091 to 0.05.
    """

    config: PhaseDecayConfig

    def factor(self, step: int) -> float:
        """Compute the factor of a step, as a Python float: NumPy's would make checkpoints unsafe to load."""
        config = self.config
        phase = (config.phases or PhasesConfig()).at(step)
        if phase.name == "head":
            return config.head_final**phase.progress
        if phase.name == "lips":
            return config.lips_initial * (config.lips_final / config.lips_initial) ** phase.progress
        return config.torso_final**phase.progress

    def get_scheduler(self, optimizer: Optimizer, lr_init: float) -> LRScheduler:
        """Build the PyTorch scheduler."""
        # PyTorch leaves plain functions out of checkpoints, and this one needs no state.
        return LambdaLR(optimizer, lr_lambda=lambda step: self.factor(step))
