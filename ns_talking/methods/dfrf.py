"""DFRF: few-shot talking heads from reference pictures whose features compete for slots; one field draws everything.

Source:
    Shen, Li, Zhu, Duan, Zhou, Lu: "Learning Dynamic Facial Radiance Fields for Few-Shot Talking Head Synthesis", ECCV
    2022, and the released training.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nerfstudio.plugins.types import MethodSpecification

from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig
from ns_talking.fields.branches import BranchesConfig
from ns_talking.fields.reference_features import ReferenceFeaturesConfig
from ns_talking.methods.few_shot import FewShotModel, FewShotModelConfig
from ns_talking.methods.few_shot_presets import few_shot_config
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.modules.audio_encoder import AudioEncoderConfig
from ns_talking.pipelines.phases import PhasesConfig
from ns_talking.utils.compat import allow_scalars_in_checkpoints


@dataclass
class DFRFModelConfig(FewShotModelConfig):
    """Options of DFRF: those of every few-shot method, as the released training sets them."""

    _target: type = field(default_factory=lambda: DFRFModel)
    look_up: ReferenceFeaturesConfig = field(
        default_factory=lambda: ReferenceFeaturesConfig(warp_by="feature", aggregation="slots")
    )
    branches: BranchesConfig = field(default_factory=lambda: BranchesConfig(two=False))
    audio_code: AudioCodeConfig = field(
        default_factory=lambda: AudioCodeConfig(encoder=AudioEncoderConfig(code_dim=64))
    )


class DFRFModel(FewShotModel):
    """One field, slots, and offsets that follow what lies at the projection."""

    config: DFRFModelConfig


allow_scalars_in_checkpoints()

dfrf = MethodSpecification(
    config=few_shot_config(
        "dfrf",
        DFRFModelConfig(),
        TalkingPortraitDataParserConfig(),
        gpu=PhasesConfig(head=40_000, lips=0, torso=10_000),
        cpu=PhasesConfig(head=1_700, lips=0, torso=300),
    ),
    description="DFRF: few-shot heads from reference pictures in slots (ECCV 2022); several people make a base.",
)
