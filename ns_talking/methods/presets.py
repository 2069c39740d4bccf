"""Training presets: the paper's schedule where there is a GPU, minutes on two cores where there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig
from nerfstudio.engine.optimizers import OptimizerConfig

from ns_talking.data.pixel_samplers import (
    MouthPixelSamplerConfig,
    UniformPixelSamplerConfig,
)
from ns_talking.data.portrait_datamanager import PortraitDataManagerConfig
from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig
from ns_talking.methods.base import PortraitModelConfig
from ns_talking.pipelines.phases import PhasesConfig
from ns_talking.pipelines.portrait import PortraitPipelineConfig
from ns_talking.pipelines.schedules import PhaseDecayConfig
from ns_talking.pipelines.trainer import PortraitTrainerConfig


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


_TORSO = ("torso", "torso_grid")


@dataclass(frozen=True)
class OptimizerRates:
    """Learning rates of the parameter groups of a method."""

    grids: dict[str, float]
    """Groups of hash tables. They decay their weights by 0.01, as the released training does by AdamW's default."""
    networks: dict[str, float]
    with_momentum: tuple[str, ...] = ()
    """Groups that keep a mean of the gradient (beta 0.9); ER-NeRF's keep none."""


def has_gpu() -> bool:
    """Tell whether the presets for a GPU apply."""
    return torch.cuda.is_available()


def gpu_config(method: str, model: PortraitModelConfig, rates: OptimizerRates) -> PortraitTrainerConfig:
    """Train with the paper's schedule: 65,536 rays of one frame per step, 100k + 25k + 100k steps."""
    phases = PhasesConfig(head=100_000, lips=25_000, torso=100_000)
    datamanager = PortraitDataManagerConfig(
        dataparser=TalkingPortraitDataParserConfig(),
        train_num_rays_per_batch=65_536,
        eval_num_rays_per_batch=8_192,
        frames_per_batch=1,
        pixel_sampler=UniformPixelSamplerConfig(),
    )
    return _config(method, "cuda", model, rates, phases, datamanager, PhaseDecayConfig(), steps_per_save=5_000)


def cpu_config(method: str, model: PortraitModelConfig, rates: OptimizerRates) -> PortraitTrainerConfig:
    """Train in minutes on two cores: 128 px, 1,536 rays of eight frames per step, 2,500 steps.

    What differs from the paper was chosen on the last training frames of a real clip: rays in the mouth and eye boxes,
    blinks in every batch, faster networks and a steeper decay. A mean of the gradient (beta 0.9) cost the head 1.2 dB
    there and gave the torso 0.4 dB.

    Args:
        method: Name of the method.
        model: The model as it suits 128 px and few steps.
        rates: The paper's learning rates; networks learn twice as fast here.
    """
    phases = PhasesConfig(head=2_150, lips=50, torso=300)
    datamanager = PortraitDataManagerConfig(
        dataparser=TalkingPortraitDataParserConfig(),
        working_size=128,
        train_num_rays_per_batch=1_536,
        eval_num_rays_per_batch=1_536,
        torso_num_rays_per_batch=8_192,
        frames_per_batch=8,
        pixel_sampler=MouthPixelSamplerConfig(),
        cache_gib=1.0,
    )
    rates = replace(rates, networks={name: 2 * rate for name, rate in rates.networks.items()}, with_momentum=_TORSO)
    decay = PhaseDecayConfig(head_final=0.1, lips_initial=0.1, lips_final=0.05, torso_final=0.1)
    return _config(method, "cpu", model, rates, phases, datamanager, decay, steps_per_save=500)


def _config(
    method: str,
    device: Literal["cpu", "cuda"],
    model: PortraitModelConfig,
    rates: OptimizerRates,
    phases: PhasesConfig,
    datamanager: PortraitDataManagerConfig,
    decay: PhaseDecayConfig,
    steps_per_save: int,
) -> PortraitTrainerConfig:
    def group(name: str, rate: float, weight_decay: float) -> dict[str, Any]:  # Any: Nerfstudio's untyped pair.
        betas = (0.9 if name in rates.with_momentum else 0.0, 0.99)
        optimizer = AdamWConfig(lr=rate, weight_decay=weight_decay, betas=betas)
        return {"optimizer": optimizer, "scheduler": replace(decay)}

    optimizers = {name: group(name, rate, 0.01) for name, rate in rates.grids.items()}
    optimizers |= {
        name: group(name, rate, 1e-4 if name == "audio_attention" else 0.0) for name, rate in rates.networks.items()
    }
    return PortraitTrainerConfig(
        method_name=method,
        machine=MachineConfig(device_type=device),
        pipeline=PortraitPipelineConfig(datamanager=datamanager, model=model, phases=phases),
        optimizers=optimizers,
        max_num_iterations=phases.total,
        mixed_precision=device == "cuda",
        steps_per_save=steps_per_save,
        steps_per_eval_batch=steps_per_save,
        steps_per_eval_image=steps_per_save,
        steps_per_eval_all_images=10 * phases.total,
        vis="viewer",
        viewer=ViewerConfig(num_rays_per_chunk=1 << 15, max_num_display_images=8, default_composite_depth=False),
    )
