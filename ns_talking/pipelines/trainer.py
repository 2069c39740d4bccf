"""Nerfstudio's trainer with phases that fit the number of iterations, and checkpoints that are whole or absent."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NoReturn

import torch
import yaml
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.trainer import TRAIN_INTERATION_OUTPUT, Trainer, TrainerConfig
from torch.cuda.amp.grad_scaler import GradScaler

from ns_talking.driving.features import AUTO
from ns_talking.pipelines.guard import TrainingGuard
from ns_talking.pipelines.health import early, worrying
from ns_talking.pipelines.phases import TORSO_GROUPS
from ns_talking.pipelines.portrait import PortraitPipeline, PortraitPipelineConfig
from ns_talking.pipelines.schedules import PhaseDecayConfig
from ns_talking.pipelines.several_processes import SharedOptimizers
from ns_talking.pipelines.weight_mean import WeightMean, averaged_parameters
from ns_talking.utils.checkpoints import check_checkpoint
from ns_talking.utils.files import absolute_path, atomic_path, write_text
from ns_talking.utils.plain_errors import INTERRUPTED, end_plainly, report
from ns_talking.utils.progress import CONSOLE

Preset = Literal["auto", "paper", "cpu"]
_LATEST_LOOK = 2_000
"""Iterations after which a training is looked at for the first time, at the latest."""


@dataclass
class PortraitTrainerConfig(TrainerConfig):
    """Options of a run."""

    _target: type = field(default_factory=lambda: PortraitTrainer)
    pipeline: PortraitPipelineConfig = field(default_factory=PortraitPipelineConfig)
    """Data, model and phases."""
    preset: Preset = "auto"
    """What all other defaults are: `paper` is the method's published recipe, with nothing of ours; `cpu` trains in
    minutes without a GPU; `auto` takes paper where there is a GPU and cpu elsewhere."""
    mean_share: float = 0.0
    """At the end of head and lips phase, everything but the torso becomes the mean of its last values: later ones weigh
    more, and a weight falls to 1/e within this share of both phases. 0 keeps the last values."""

    def print_to_terminal(self) -> None:
        """Look for what the run needs before it prints or writes anything: `ns-train` calls this first.

        Raises:
            FileNotFoundError: When there is no dataset, or no checkpoint to go on from.
        """
        end_plainly()
        self.pipeline.datamanager.check_dataset()
        _check_checkpoint(self.load_dir, self.load_step, self.load_checkpoint)
        super().print_to_terminal()

    def save_config(self) -> None:
        """Write the config whole or not at all, with its paths absolute, so that it works from every folder."""
        self.output_dir = absolute_path(self.output_dir)
        path = self.get_base_dir() / "config.yml"
        CONSOLE.log(f"Saving config to: {path}")
        write_text(path, yaml.dump(self))


class SteadyGradScaler(GradScaler):
    """A gradient scaler that does not tell its scale.

    Nerfstudio asks for it twice in every step, to hold the learning rates back when gradients overflowed. Each time
    the program waits for the GPU; our learning rates follow the step's number, and an overflow changes none of them.
    """

    def get_scale(self) -> float:
        """Give the same answer always: the scale has not fallen."""
        return 1.0

    def state_dict(self) -> dict[str, Any]:  # Any: PyTorch's signature.
        """Put the real scale into the checkpoint."""
        return super().state_dict() | ({"scale": super().get_scale()} if self.is_enabled() else {})


class PortraitTrainer(Trainer):
    """Trains a portrait."""

    config: PortraitTrainerConfig
    pipeline: PortraitPipeline

    def __init__(self, config: PortraitTrainerConfig, local_rank: int = 0, world_size: int = 1) -> None:
        super().__init__(config, local_rank, world_size)
        self.grad_scaler = SteadyGradScaler(enabled=self.use_grad_scaler)
        self._interrupted = False
        self._loaded_mean: dict[str, Any] = {}  # Any: as checkpoints hold it.

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
        try:
            super().setup(test_mode)
        except KeyboardInterrupt:
            report("Training was interrupted while it was set up. The same command starts again.")
            raise SystemExit(INTERRUPTED) from None
        self._settle_audio_features()
        groups = self.pipeline.portrait_model.get_param_groups()
        self._mean = WeightMean(
            averaged_parameters(groups, without=TORSO_GROUPS),
            self.config.mean_share * (phases.head + phases.lips),
            phases.head + phases.lips if self.config.mean_share else 0,
        )
        self._mean.load_state_dict(self._loaded_mean)
        self.guard = self.pipeline.guard = TrainingGuard(self.base_dir, self.device)

    def setup_optimizers(self) -> Optimizers:
        """Make the optimizers; those of several processes step by the mean of their gradients."""
        if self.world_size == 1:
            return super().setup_optimizers()
        return SharedOptimizers(self.config.optimizers.copy(), self.pipeline.get_param_groups())

    def _settle_audio_features(self) -> None:
        """Write down which features `auto` took: a dataset may hold others by the time the portrait is rendered."""
        options = vars(self.config.pipeline.model)
        if options["audio_features"] == AUTO and self.local_rank == 0:
            assert isinstance(self.pipeline, PortraitPipeline)
            options["audio_features"] = self.pipeline.clip_track.features.name
            self.config.save_config()

    def train(self) -> None:
        """Train; Ctrl-C keeps what is trained so far.

        Raises:
            SystemExit: When it is interrupted before the end, where Nerfstudio would report success.
        """
        if self.world_size > 1 or threading.current_thread() is not threading.main_thread():
            super().train()
            return
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            super().train()
        except KeyboardInterrupt:
            if self.training_state == "paused":
                self._stop(self.step - 1)
            if self.training_state != "completed":
                report("Training stopped within an iteration. " + _how_to_go_on(self.checkpoint_dir))
                raise SystemExit(INTERRUPTED) from None
        finally:
            signal.signal(signal.SIGINT, before)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Wait for the end of the iteration, which leaves parameters and optimizers whole; the second time do not."""
        del number, frame
        if self._interrupted or self.training_state != "training":
            raise KeyboardInterrupt
        self._interrupted = True

    def _stop(self, step: int) -> NoReturn:
        """Keep what is trained and end the command."""
        if step >= self._start_step:
            self.save_checkpoint(step)
        report(f"Training stopped after iteration {step + 1}. " + _how_to_go_on(self.checkpoint_dir))
        raise SystemExit(INTERRUPTED)

    def train_iteration(self, step: int) -> TRAIN_INTERATION_OUTPUT:
        """Train one iteration and take its time."""
        self.guard.begin()
        found = super().train_iteration(step)
        self._mean.after(step)
        self.guard.end()
        if self._interrupted:
            self._stop(step)
        if step == self._start_step + self._first_look():
            self._look()
        return found

    def _first_look(self) -> int:
        """Iterations after which a head can be told: a tenth of its phase, and a few minutes at most."""
        return min(max(self.config.pipeline.phases.head // 10, 1), _LATEST_LOOK)

    def _look(self) -> None:
        """Say what goes wrong while there is time to stop."""
        if self.local_rank != 0:
            return
        for verdict in worrying(early(self.pipeline)):
            CONSOLE.print(f"{verdict.level}: {verdict.name}, {verdict.found}. {verdict.advice}", style="yellow")

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        # Nerfstudio 1.1.5 trains the full number of iterations again after a resume. Remove when the oldest version
        # allowed counts from the checkpoint's step (its main branch does).
        self.config.max_num_iterations = max(self.config.max_num_iterations - self._start_step, 0)
        if self._start_step:
            path = self.config.load_checkpoint
            if self.config.load_dir is not None:
                path = self.config.load_dir / f"step-{self._start_step - 1:09d}.ckpt"
            assert path is not None
            self._loaded_mean = torch.load(path, map_location="cpu", weights_only=True).get("weight_mean", {})
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
            "weight_mean": self._mean.state_dict(),
        }
        self.guard.check_parameters(self.pipeline, step)
        # Not among the checkpoints: Nerfstudio takes whatever lies there for one.
        with atomic_path(path, workplace=self.base_dir) as temporary, temporary.open("wb") as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:
                # PyTorch stumbles over the archive that a full disk cut off, which hides why it was cut off.
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        self.guard.write(step + 1)
        if self.config.save_only_latest_checkpoint:
            for old in self.checkpoint_dir.glob("step-*.ckpt"):
                if old != path:
                    old.unlink()


def _check_checkpoint(folder: Path | None, step: int | None, file: Path | None) -> None:
    """Insist that there is a checkpoint where the run is told to go on.

    Raises:
        FileNotFoundError: When there is none.
        ValueError: When it is damaged.
    """
    if folder is not None:
        found = sorted(folder.glob("step-*.ckpt")) if folder.is_dir() else []
        wanted = found if step is None else [path for path in found if path.name == f"step-{step:09d}.ckpt"]
        if not wanted:
            near = sorted(path.parent for path in folder.rglob("step-*.ckpt"))
            there = f"It holds {', '.join(path.name for path in found)}." if found else "It holds none."
            hint = f" Did you mean --load-dir {near[-1]}?" if near and not found else ""
            raise FileNotFoundError(
                f"There is no checkpoint {'step-*.ckpt' if step is None else f'of step {step}'} in {folder}. {there}"
                f"{hint or ' Name the folder nerfstudio_models of a training.'}"
            )
        check_checkpoint(wanted[-1])
    elif file is not None:
        if not file.is_file():
            raise FileNotFoundError(f"There is no checkpoint {file}. Name a file step-*.ckpt of a training.")
        check_checkpoint(file)


def _how_to_go_on(checkpoints: Path) -> str:
    """Say what an interrupted run leaves and how it continues."""
    found = sorted(checkpoints.glob("step-*.ckpt"))
    if not found:
        return "Nothing was kept yet: the same command starts again."
    return (
        f"What is trained is kept in {found[-1]}. Go on with the same command and --load-dir {checkpoints}, or look at "
        f"it as it is: ns-viewer --load-config {checkpoints.parent / 'config.yml'}"
    )
