"""Nerfstudio's trainer with phases that fit the number of iterations, and checkpoints that are whole or absent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from nerfstudio.engine.trainer import Trainer, TrainerConfig

from ns_talking.pipelines.portrait import PortraitPipelineConfig
from ns_talking.pipelines.schedules import PhaseDecayConfig
from ns_talking.utils.files import atomic_path
from ns_talking.utils.progress import CONSOLE


@dataclass
class PortraitTrainerConfig(TrainerConfig):
    """Options of a run."""

    _target: type = field(default_factory=lambda: PortraitTrainer)
    pipeline: PortraitPipelineConfig = field(default_factory=PortraitPipelineConfig)
    """Data, model and phases."""


class PortraitTrainer(Trainer):
    """Trains a portrait."""

    config: PortraitTrainerConfig

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        """Fit the phases to the number of iterations, then set up as usual."""
        phases = self.config.pipeline.phases.stretched(self.config.max_num_iterations)
        self.config.pipeline.phases = phases
        for group in self.config.optimizers.values():
            if isinstance(group["scheduler"], PhaseDecayConfig):
                group["scheduler"].phases = phases
        size = self.config.pipeline.datamanager.working_size
        CONSOLE.print(
            f"Training on {self.config.machine.device_type}: {phases.head} iterations for the head, {phases.lips} for "
            f"the lips, {phases.torso} for the torso, {f'frames of {size} px' if size else 'frames at full size'}."
        )
        super().setup(test_mode)

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        # Nerfstudio 1.1.5 trains the full number of iterations again after a resume. Remove when the oldest version
        # allowed counts from the checkpoint's step (its main branch does).
        self.config.max_num_iterations = max(self.config.max_num_iterations - self._start_step, 0)
        if self._start_step:
            self.step = self._start_step - 1
            CONSOLE.print(f"Resuming at iteration {self._start_step}, {self.config.max_num_iterations} to go.")

    def save_checkpoint(self, step: int) -> None:
        """Write a checkpoint beside its place and rename it, so that a killed run never leaves half a file."""
        if self.local_rank != 0:
            return
        path = self.checkpoint_dir / f"step-{step:09d}.ckpt"
        state = {
            "step": step,
            "pipeline": self.pipeline.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.optimizers.items()},
            "schedulers": {name: scheduler.state_dict() for name, scheduler in self.optimizers.schedulers.items()},
            "scalers": self.grad_scaler.state_dict(),
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)
        if self.config.save_only_latest_checkpoint:
            for old in self.checkpoint_dir.glob("step-*.ckpt"):
                if old != path:
                    old.unlink()
