"""Training presets: the paper's recipe where there is a GPU, minutes on two cores where there is none.

`ns-train METHOD --preset paper|cpu` asks for one of them. Nerfstudio builds its command line from one configuration per
method, so the choice falls before: what the command line says of it is read when a method is imported, and all other
options, their defaults and `--help` are those of the preset.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from nerfstudio.configs.base_config import MachineConfig
from nerfstudio.engine.optimizers import OptimizerConfig

from ns_talking.data.pixel_samplers import (
    MouthPixelSamplerConfig,
    PortraitPixelSamplerConfig,
    UniformPixelSamplerConfig,
)
from ns_talking.data.portrait_datamanager import PortraitDataManagerConfig
from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig
from ns_talking.methods.base import PortraitModelConfig
from ns_talking.methods.grid import GridPortraitModelConfig
from ns_talking.pipelines.phases import TORSO_GROUPS, PhasesConfig
from ns_talking.pipelines.portrait import PortraitPipelineConfig
from ns_talking.pipelines.schedules import PhaseDecayConfig
from ns_talking.pipelines.trainer import PortraitTrainerConfig
from ns_talking.pipelines.viewer_hook import portrait_viewer


@dataclass
class AdamWConfig(OptimizerConfig):
    """AdamW in one fused kernel per group."""

    _target: type = torch.optim.AdamW
    betas: tuple[float, float] = (0.0, 0.99)
    """Decay of the gradient's mean and of its square; ER-NeRF keeps no mean."""
    eps: float = 1e-8
    """Smallest denominator."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    fused: bool = True
    """One kernel for all parameters of a group, on CPU and GPU."""


POSE_GROUP = "camera_opt"
"""Nerfstudio's name for refined poses; the group is only there where they are."""


@dataclass(frozen=True)
class OptimizerRates:
    """Learning rates of the parameter groups of a method."""

    grids: dict[str, float]
    """Groups of hash tables."""
    networks: dict[str, float]
    with_momentum: tuple[str, ...] = ()
    """Groups that keep a mean of the gradient (beta 0.9) whatever `beta` says."""
    grid_decay: float = 0.01
    """Weight decay of hash tables; ER-NeRF's released training has AdamW's default there."""
    decaying: tuple[str, ...] = ("audio_attention",)
    """Networks with a weight decay of 1e-4; others have none."""
    beta: float = 0.0
    """Decay of the gradient's mean; ER-NeRF keeps none, RAD-NeRF 0.9."""
    eps: float = 1e-8
    """Smallest denominator of Adam."""


def wants_gpu_preset(arguments: Sequence[str] | None = None) -> bool:
    """Tell whether to take `gpu_config`: where the command line asks for the paper's recipe, or a GPU is there.

    Args:
        arguments: Command line; None takes the program's.
    """
    arguments = sys.argv if arguments is None else arguments
    asked = "auto"
    for at, argument in enumerate(arguments):
        name, given, value = argument.partition("=")
        if name == "--preset":
            asked = value if given else " ".join(arguments[at + 1 : at + 2])
    # Anything but the choices is for the command line's own parser to refuse.
    return asked == "paper" or (asked != "cpu" and torch.cuda.is_available())


has_gpu = wants_gpu_preset
"""Its name from before there was a choice."""


def gpu_config(
    method: str,
    model: PortraitModelConfig,
    rates: OptimizerRates,
    phases: PhasesConfig,
    decay: PhaseDecayConfig,
    lips_sampler: PortraitPixelSamplerConfig,
) -> PortraitTrainerConfig:
    """Train with the paper's schedule: 65,536 rays of one frame per step, on a GPU where there is one.

    The occupancy is refreshed in quarters: four in turn find what a whole refresh finds, and each of them takes the
    time of a quarter.
    """
    if isinstance(model, GridPortraitModelConfig):
        model = replace(model, occupancy=replace(model.occupancy, update_parts=4))
    datamanager = PortraitDataManagerConfig(
        dataparser=TalkingPortraitDataParserConfig(),
        train_num_rays_per_batch=65_536,
        eval_num_rays_per_batch=8_192,
        frames_per_batch=1,
        pixel_sampler=UniformPixelSamplerConfig(),
        lips_sampler=lips_sampler,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return trainer_config(method, device, model, rates, phases, datamanager, decay, False, 5_000)


def cpu_config(
    method: str,
    model: PortraitModelConfig,
    rates: OptimizerRates,
    num_rays: int = 2_560,
    pixel_sampler: MouthPixelSamplerConfig | None = None,
) -> PortraitTrainerConfig:
    """Train in minutes on two cores: 128 px, rays of eight frames per step, 2,500 steps.

    What differs from the paper was chosen on the last training frames of a real clip: rays in the mouth and eye boxes,
    blinks in every batch, faster networks, a steeper decay, and a torso that is trained from the first step on. A mean
    of the gradient (beta 0.9) cost the head 1.2 dB there and gave the torso 0.4 dB. The mean of the last parameters
    gave the mouth 0.3 dB and opens the lips a tenth less.

    Args:
        method: Name of the method.
        model: The model as it suits 128 px and few steps.
        rates: The paper's learning rates; networks learn twice as fast here.
        num_rays: Rays of a step.
        pixel_sampler: Where they go; None sends 30 % to the mouth and 10 % to the eyes.
    """
    phases = PhasesConfig(head=2_150, lips=50, torso=300)
    datamanager = PortraitDataManagerConfig(
        dataparser=TalkingPortraitDataParserConfig(),
        working_size=128,
        train_num_rays_per_batch=num_rays,
        eval_num_rays_per_batch=1_536,
        torso_num_rays_per_batch=4_096,
        frames_per_batch=8,
        pixel_sampler=pixel_sampler or MouthPixelSamplerConfig(mouth_share=0.3, eye_share=0.1, blink_frames=3),
        cache_gib=1.0,
    )
    rates = replace(
        rates,
        networks={name: 2 * rate for name, rate in rates.networks.items()},
        with_momentum=(*rates.with_momentum, *TORSO_GROUPS),
    )
    decay = PhaseDecayConfig(head_final=0.1, lips_initial=0.1, lips_final=0.05, torso_final=0.1)
    config = trainer_config(method, "cpu", model, rates, phases, datamanager, decay, True, 500)
    config.mean_share = 0.1
    return config


def trainer_config(
    method: str,
    device: Literal["cpu", "cuda"],
    model: PortraitModelConfig,
    rates: OptimizerRates,
    phases: PhasesConfig,
    datamanager: PortraitDataManagerConfig,
    decay: PhaseDecayConfig,
    train_torso_beside_head: bool,
    steps_per_save: int,
) -> PortraitTrainerConfig:
    """Put a training together.

    Args:
        method: Name of the method.
        device: What it runs on.
        model: The model.
        rates: Learning rates.
        phases: Lengths of the phases.
        datamanager: Frames and pixels.
        decay: How learning rates fall.
        train_torso_beside_head: Whether the head's phase trains the torso too.
        steps_per_save: Iterations between two checkpoints.
    """

    def group(name: str, rate: float, weight_decay: float) -> dict[str, Any]:  # Any: Nerfstudio's untyped pair.
        betas = (0.9 if name in rates.with_momentum else rates.beta, 0.99)
        optimizer = AdamWConfig(lr=rate, weight_decay=weight_decay, betas=betas, eps=rates.eps)
        return {"optimizer": optimizer, "scheduler": replace(decay)}

    optimizers = {name: group(name, rate, rates.grid_decay) for name, rate in rates.grids.items()}
    for name, rate in rates.networks.items():
        optimizers[name] = group(name, rate, 1e-4 if name in rates.decaying else 0.0)
    refinement = AdamWConfig(lr=1e-4, betas=(0.9, 0.99))
    optimizers[POSE_GROUP] = {"optimizer": refinement, "scheduler": replace(decay)}
    return PortraitTrainerConfig(
        method_name=method,
        machine=MachineConfig(device_type=device),
        pipeline=PortraitPipelineConfig(
            datamanager=datamanager,
            model=model,
            phases=phases,
            train_torso_beside_head=train_torso_beside_head,
        ),
        optimizers=optimizers,
        max_num_iterations=phases.total,
        mixed_precision=device == "cuda",
        steps_per_save=steps_per_save,
        steps_per_eval_batch=steps_per_save,
        steps_per_eval_image=steps_per_save,
        steps_per_eval_all_images=10 * phases.total,
        vis="viewer",
        viewer=portrait_viewer(),
    )
