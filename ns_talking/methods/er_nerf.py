"""ER-NeRF: a tri-plane hash field with region attention, and its training configurations.

Source:
    Li, Zhang, Bai, Zhou, Gu: "Efficient Region-Aware Neural Radiance Fields for High-Fidelity Talking Portrait
    Synthesis", ICCV 2023. The uncertainty and the perturbation terms are from the released training; the paper has
    neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.plugins.types import MethodSpecification
from torch import Tensor
from torch.nn import Parameter

from ns_talking.data.head_masks import head_masks
from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.driving.track import Condition
from ns_talking.fields.base import FieldCondition
from ns_talking.fields.torso import TorsoFieldConfig
from ns_talking.fields.triplane import TriplaneField, TriplaneFieldConfig
from ns_talking.methods.base import PortraitModel, PortraitModelConfig
from ns_talking.methods.presets import OptimizerRates, cpu_config, gpu_config, has_gpu
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.modules.embeddings import AppearanceCodes
from ns_talking.rendering.occupancy import OccupancyGrid, OccupancyGridConfig
from ns_talking.rendering.rays import Rays
from ns_talking.rendering.volume import HeadOutputs, RaySamples, render_visible, render_volume, sample_occupied
from ns_talking.utils.compat import allow_scalars_in_checkpoints

_PERTURBATION_INTERVAL = 16
_PERTURBATION = 1e-3


@dataclass
class ERNeRFModelConfig(PortraitModelConfig):
    """Options of ER-NeRF."""

    _target: type = field(default_factory=lambda: ERNeRFModel)
    head: TriplaneFieldConfig = field(default_factory=TriplaneFieldConfig)
    """Planes and decoders of the head."""
    occupancy: OccupancyGridConfig = field(default_factory=OccupancyGridConfig)
    """Where the head may be."""


class ERNeRFModel(PortraitModel):
    """ER-NeRF's head over its torso."""

    config: ERNeRFModelConfig

    def populate_modules(self) -> None:
        """Build the head's field and its occupancy."""
        super().populate_modules()
        config = self.config
        self.head: TriplaneField = config.head.setup(
            code_dim=self.audio_code.code_dim, appearance_dim=config.appearance_dim
        )
        self.occupancy: OccupancyGrid = config.occupancy.setup(bounds=self.scene_box.aabb)
        self.appearance = AppearanceCodes(config.appearance_dim)

    def render_head(self, rays: Rays, code: Float[Tensor, "frames code"], condition: Condition) -> HeadOutputs:
        """March, evaluate the tri-plane field, composite."""
        config = self.config
        appearance = self.appearance(condition.frame)
        if not self.training:
            return render_visible(
                self.head, rays, self.occupancy, config.step_size, config.max_samples, code, condition.blink, appearance
            )
        samples = sample_occupied(rays, self.occupancy, config.step_size, config.max_samples, self._jitter(rays))
        head, at = render_volume(
            self.head,
            rays,
            samples,
            config.step_size,
            code,
            condition.blink,
            appearance,
            with_uncertainty=config.use_uncertainty,
        )
        due = config.use_uncertainty and self.phase.name == "head"
        if due and self.step % _PERTURBATION_INTERVAL == 0:
            field_condition = FieldCondition(code, condition.blink, rays.row[samples.ray])
            moved = self._moved_attention(samples, field_condition)
            still = torch.stack([self.head.uncertainty(at.features), at.audio_attention, at.eye_attention])
            return replace(head, perturbation=(moved - still.detach()).square().mean(dim=1).sum())
        return head

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """Group parameters as the released training does."""
        head = self.head
        decoders = [head.audio_attention, head.eye_attention, head.density_mlp, head.colour_mlp]
        return {
            "planes": [head.planes],
            "decoders": [*_parameters(*decoders, head.uncertainty_mlp), self.appearance.codes],
            **self.audio_code.get_param_groups(),
            "torso_grid": [self.torso.table],
            "torso": [parameter for name, parameter in self.torso.named_parameters() if name != "table"],
        }

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """Keep both occupancy maps fresh."""
        interval = self.config.occupancy.update_interval
        where = [TrainingCallbackLocation.BEFORE_TRAIN_ITERATION]
        return [TrainingCallback(where, self._update_occupancy, update_every_num_iters=interval)]

    def prepare_training(self, dataset: PortraitDataset) -> None:
        """Measure statistics, and carve the visual hull of the head masks out of the box."""
        super().prepare_training(dataset)
        masks, cameras = head_masks(dataset, _HULL_VIEWS)
        focal = self.portrait.focal_px / self.portrait.width
        self.occupancy.carve(masks.to(self.device), cameras.to(self.device), focal)

    def _update_occupancy(self, step: int) -> None:
        condition = self._random_training_condition(step)
        if self.phase.name == "torso":
            self.torso.update_occupancy(condition.head_pose, condition.frame)
            return
        with torch.no_grad():
            code = self.encode_audio(condition)

        def density(positions: Tensor) -> Tensor:
            parts = []
            for part in positions.split(self.config.eval_num_rays_per_chunk):
                row = torch.zeros(len(part), dtype=torch.long, device=part.device)
                parts.append(self.head.density(part, FieldCondition(code, condition.blink, row)).density)
            return torch.cat(parts)

        self.occupancy.update(density, step)

    def _random_training_condition(self, step: int) -> Condition:
        generator = torch.Generator().manual_seed(step)
        frames = self.portrait.split("train")
        chosen = frames[int(torch.randint(len(frames), (1,), generator=generator))]
        return self.track.at_frames(torch.tensor([chosen.index], device=self.device))

    def _jitter(self, rays: Rays) -> Tensor:
        generator = torch.Generator().manual_seed(self.step)
        return torch.rand(len(rays), generator=generator).to(self.device)

    def _moved_attention(self, samples: RaySamples, condition: FieldCondition) -> Tensor:
        generator = torch.Generator().manual_seed(self.step)
        noise = (torch.rand(samples.positions.shape, generator=generator) * 2 - 1) * _PERTURBATION
        moved = self.head.density(samples.positions + noise.to(self.device), condition)
        return torch.stack([self.head.uncertainty(moved.features), moved.audio_attention, moved.eye_attention])


_HULL_VIEWS = 24


def _parameters(*modules: torch.nn.Module) -> list[Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]


allow_scalars_in_checkpoints()

_RATES = OptimizerRates(
    grids={"planes": 1e-2, "torso_grid": 1e-2},
    networks={"decoders": 1e-3, "audio_encoder": 1e-3, "audio_attention": 5e-3, "lip_code": 5e-3, "torso": 1e-3},
)
_METHOD = "er-nerf"


def _cpu_model() -> ERNeRFModelConfig:
    """Suit the model to 128 px and 2,500 steps.

    Appearance codes are left out (each would be drawn a dozen times, too rarely to be learned), as are uncertainty and
    LPIPS; the torso's picture is no finer than the pixels; a lip shape fitted to the sound beforehand drives the face
    from the first step on.
    """
    return ERNeRFModelConfig(
        occupancy=OccupancyGridConfig(resolution=64, update_interval=32, update_parts=4),
        audio_code=AudioCodeConfig(use_lip_shape=True),
        torso=TorsoFieldConfig(appearance_dim=0, finest_resolution=128),
        appearance_dim=0,
        use_uncertainty=False,
        use_lpips=False,
    )


er_nerf = MethodSpecification(
    config=gpu_config(_METHOD, ERNeRFModelConfig(), _RATES) if has_gpu() else cpu_config(_METHOD, _cpu_model(), _RATES),
    description="ER-NeRF: tri-plane hash field with region attention (ICCV 2023), head, lips and torso in one run.",
)
