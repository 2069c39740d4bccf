"""Training presets of the few-shot methods: the papers' sizes with a GPU, small networks without one."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig

from ns_talking.data.few_shot_datamanager import FewShotDataManagerConfig
from ns_talking.data.pixel_samplers import MouthPixelSamplerConfig
from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig
from ns_talking.fields.branches import BranchesConfig
from ns_talking.fields.reference_features import ReferenceFeaturesConfig
from ns_talking.fields.torso import TorsoFieldConfig
from ns_talking.methods.few_shot import FewShotModelConfig
from ns_talking.methods.presets import OptimizerRates, trainer_config, wants_gpu_preset
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.modules.audio_encoder import AudioEncoderConfig
from ns_talking.modules.nerf_mlp import NeRFMLPConfig
from ns_talking.modules.reference_encoder import ReferenceEncoderConfig
from ns_talking.modules.warper import WarperConfig
from ns_talking.pipelines.phases import PhasesConfig
from ns_talking.pipelines.schedules import PhaseDecayConfig
from ns_talking.pipelines.trainer import PortraitTrainerConfig
from ns_talking.rendering.occupancy import OccupancyGridConfig

ModelConfig = TypeVar("ModelConfig", bound=FewShotModelConfig)

_RATES = OptimizerRates(
    grids={"torso_grid": 1e-2},
    networks={
        "fields": 5e-4,
        "look_up": 5e-4,
        "audio_encoder": 5e-4,
        "audio_attention": 2.5e-3,
        "lip_code": 2.5e-3,
        "torso": 1e-3,
    },
    beta=0.9,
    decaying=(),
)
_CPU_FACTOR = 4
"""Small networks and short trainings take larger steps."""


def few_shot_config(
    method: str, model: FewShotModelConfig, dataparser: DataParserConfig, gpu: PhasesConfig, cpu: PhasesConfig
) -> PortraitTrainerConfig:
    """Train one frame per step, the torso of the shown person beside the head.

    Args:
        method: Name of the method.
        model: The model with the papers' sizes.
        dataparser: One person or several.
        gpu: Phases where there is a GPU.
        cpu: Phases where there is none.
    """
    if wants_gpu_preset():
        datamanager = FewShotDataManagerConfig(
            dataparser=dataparser,
            train_num_rays_per_batch=850,
            eval_num_rays_per_batch=1_024,
            torso_num_rays_per_batch=16_384,
        )
        decay = PhaseDecayConfig(head_final=0.4, torso_final=0.1)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return trainer_config(method, device, model, _RATES, gpu, datamanager, decay, True, 5_000)
    datamanager = FewShotDataManagerConfig(
        dataparser=dataparser,
        working_size=128,
        train_num_rays_per_batch=256,
        eval_num_rays_per_batch=512,
        torso_num_rays_per_batch=2_048,
        cache_gib=1.0,
        # A tenth of 256 rays in the box around the face would be the mouth's: too few to hear from.
        pixel_sampler=MouthPixelSamplerConfig(mouth_share=0.3, eye_share=0.1, face_share=0.55, blink_frames=0),
    )
    rates = replace(
        _RATES,
        networks={name: _CPU_FACTOR * rate for name, rate in _RATES.networks.items()},
        with_momentum=("torso", "torso_grid"),
    )
    decay = PhaseDecayConfig(head_final=0.1, torso_final=0.1)
    return trainer_config(method, "cpu", small(model), rates, cpu, datamanager, decay, True, 500)


def new_person_config(method: str, model: FewShotModelConfig) -> PortraitTrainerConfig:
    """Train one person from seconds of video.

    Args:
        method: Name of the method.
        model: The model with the papers' sizes.
    """
    return few_shot_config(
        method,
        model,
        TalkingPortraitDataParserConfig(),
        gpu=PhasesConfig(head=40_000, lips=0, torso=10_000),
        cpu=PhasesConfig(head=1_700, lips=0, torso=300),
    )


def small(model: ModelConfig) -> ModelConfig:
    """Suit a model to 128 px and a thousand steps: smaller networks, fewer samples, feature maps of half the size.

    Two things are ours. Fields correct the colours that the references show: networks as small as these learn to paint
    a face in more steps than there are. Where there are two fields, the one that is not told the sound looks references
    up without it: another sound then changes the rest of the head less.
    """
    look_up: ReferenceFeaturesConfig = replace(
        model.look_up,
        encoder=ReferenceEncoderConfig(width=16, feature_dim=32, feature_stride=2),
        warper=WarperConfig(width=32, narrow=16),
        token_dim=32,
        soundless=model.branches.two,
        colours=True,
        position_degree=6,
        direction_degree=2,
    )
    branches: BranchesConfig = replace(
        model.branches,
        network=NeRFMLPConfig(width=64, depth=4, colour_width=32, colour_depth=1),
        position_degree=6,
        direction_degree=2,
    )
    return replace(
        model,
        look_up=look_up,
        branches=branches,
        coarse_samples=12,
        fine_samples=12,
        occupancy=OccupancyGridConfig(resolution=64),
        audio_code=AudioCodeConfig(encoder=AudioEncoderConfig(code_dim=32)),
        torso=TorsoFieldConfig(appearance_dim=0, finest_resolution=128),
        use_lpips=False,
    )
