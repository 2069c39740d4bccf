"""AE-NeRF: a base of many people, and a new person from seconds of video; two fields, and references chosen by sound.

Source:
    Li, Zhao, Wang, Peng, Zhang, Dong, Tan: "AE-NeRF: Audio Enhanced Neural Radiance Field for Few Shot Talking Head
    Synthesis", AAAI 2024. No code was released; what the paper leaves open is taken from DFRF, on which it builds, or
    is ours, and each part says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nerfstudio.plugins.types import MethodSpecification

from ns_talking.dataparsers.identities import IdentitiesDataParserConfig
from ns_talking.fields.reference_features import ReferenceFeaturesConfig
from ns_talking.methods.few_shot import FewShotModel, FewShotModelConfig
from ns_talking.methods.few_shot_presets import few_shot_config, new_person_config
from ns_talking.pipelines.phases import PhasesConfig
from ns_talking.utils.compat import allow_scalars_in_checkpoints


@dataclass
class AENeRFModelConfig(FewShotModelConfig):
    """Options of AE-NeRF: those of every few-shot method, as the paper sets them."""

    _target: type = field(default_factory=lambda: AENeRFModel)
    look_up: ReferenceFeaturesConfig = field(default_factory=lambda: ReferenceFeaturesConfig(contrast=True))


class AENeRFModel(FewShotModel):
    """One field follows the sound, one does not; references whose sound is like the frame's count more."""

    config: AENeRFModelConfig


allow_scalars_in_checkpoints()

ae_nerf_base = MethodSpecification(
    config=few_shot_config(
        "ae-nerf-base",
        AENeRFModelConfig(),
        IdentitiesDataParserConfig(),
        gpu=PhasesConfig(head=300_000, lips=0, torso=0),
        cpu=PhasesConfig(head=10_000, lips=0, torso=0),
    ),
    description="AE-NeRF's base: many people, from which ae-nerf starts on a new one.",
)
ae_nerf = MethodSpecification(
    config=new_person_config("ae-nerf", AENeRFModelConfig()),
    description="AE-NeRF: a new person from seconds of video, starting from a base (AAAI 2024).",
)
