"""DFRF: few-shot talking heads from reference pictures whose features compete for slots; one field draws everything.

Source:
    Shen, Li, Zhu, Duan, Zhou, Lu: "Learning Dynamic Facial Radiance Fields for Few-Shot Talking Head Synthesis", ECCV
    2022, and the released training.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nerfstudio.plugins.types import MethodSpecification

from ns_talking.fields.branches import BranchesConfig
from ns_talking.fields.reference_features import ReferenceFeaturesConfig
from ns_talking.methods.few_shot import FewShotModel, FewShotModelConfig
from ns_talking.methods.few_shot_presets import new_person_config
from ns_talking.utils.compat import allow_scalars_in_checkpoints


@dataclass
class DFRFModelConfig(FewShotModelConfig):
    """Options of DFRF: those of every few-shot method, as the released training sets them."""

    _target: type = field(default_factory=lambda: DFRFModel)
    look_up: ReferenceFeaturesConfig = field(
        default_factory=lambda: ReferenceFeaturesConfig(warp_by="feature", aggregation="slots")
    )
    branches: BranchesConfig = field(default_factory=lambda: BranchesConfig(two=False))


class DFRFModel(FewShotModel):
    """One field, slots, and offsets that follow what lies at the projection."""

    config: DFRFModelConfig


allow_scalars_in_checkpoints()

dfrf = MethodSpecification(
    config=new_person_config("dfrf", DFRFModelConfig()),
    description="DFRF: few-shot heads from reference pictures in slots (ECCV 2022); several people make a base.",
)
