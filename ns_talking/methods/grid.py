"""What the methods share that march through an occupancy grid and ask a conditioned field: RAD-NeRF and its heirs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from nerfstudio.configs.base_config import InstantiateConfig
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from torch import Tensor, nn
from torch.nn import Parameter

from ns_talking.data.face_surface import FaceSurface, face_surface
from ns_talking.data.format import HEAD_REGIONS, Region
from ns_talking.data.head_masks import region_masks
from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.driving.track import Condition
from ns_talking.fields.base import ConditionedField, FieldCondition, FieldDensity
from ns_talking.fields.folded_triplane import fold
from ns_talking.fields.triplane import TriplaneField, TriplaneFieldConfig
from ns_talking.methods.base import PortraitModel, PortraitModelConfig
from ns_talking.modules.embeddings import AppearanceCodes
from ns_talking.modules.pose_refinement import PoseRefinement, PoseRefinementConfig, RefinementMode
from ns_talking.rendering.cuda_graph import Replay
from ns_talking.rendering.occupancy import OccupancyGrid, OccupancyGridConfig
from ns_talking.rendering.rays import Rays
from ns_talking.rendering.volume import (
    AlsoComposited,
    HeadOutputs,
    RaySamples,
    render_folded,
    render_visible,
    render_volume,
    renders_fused,
    sample_occupied,
)
from ns_talking.utils.device import seeded_generator
from ns_talking.utils.progress import CONSOLE

_HULL_VIEWS = 24


@dataclass
class GridPortraitModelConfig(PortraitModelConfig):
    """Options of every method that samples where an occupancy grid says so."""

    _target: type = field(default_factory=lambda: GridPortraitModel)
    head: InstantiateConfig = field(default_factory=TriplaneFieldConfig)
    """The head's field."""
    occupancy: OccupancyGridConfig = field(default_factory=OccupancyGridConfig)
    """Where the head may be."""
    use_face_surface: bool = False
    """Whether the landmarks bound the head in depth, where the head turns enough to place them; our design."""
    pose_refinement: RefinementMode = "off"
    """Whether the training frames' head poses are trained as well, by Nerfstudio's camera optimiser: off, or turning
    and shifting as SO3xR3 or SE3; our addition."""
    refined_turn_penalty: float = 1e-2
    """Weight of the mean turn of refined poses, in radians."""
    refined_shift_penalty: float = 1e-2
    """Weight of the mean shift of refined poses, in world units (25 cm)."""
    update_occupancy_in_lips: bool = True
    """Whether the lips phase keeps the occupancy fresh."""


class GridPortraitModel(PortraitModel):
    """A head that is a conditioned field inside an occupancy grid.

    Subclasses fill in `head_groups`, and the losses of their field.
    """

    config: GridPortraitModelConfig
    works_in_halves = True

    def populate_modules(self) -> None:
        """Build the head's field and its occupancy."""
        super().populate_modules()
        config = self.config
        self.head = self.head_config().setup(code_dim=self.audio_code.code_dim, appearance_dim=config.appearance_dim)
        self.occupancy: OccupancyGrid = config.occupancy.setup(bounds=self.scene_box.aabb)
        self.appearance = AppearanceCodes(config.appearance_dim)
        self.poses: PoseRefinement = PoseRefinementConfig(
            mode=config.pose_refinement,
            rot_l2_penalty=config.refined_turn_penalty,
            trans_l2_penalty=config.refined_shift_penalty,
        ).setup(num_frames=self.portrait.num_frames, device="cpu")
        self._draw_fused = Replay(self._draw, [self.head, self.occupancy])

    def head_config(self) -> InstantiateConfig:
        """Choose the head's field."""
        return self.config.head

    @abstractmethod
    def head_groups(self) -> dict[str, list[Parameter]]:
        """Group the parameters of the head's field; one group is called `decoders`."""

    def driven_field(self, code: Float[Tensor, "frames code"], condition: Condition) -> ConditionedField:
        """Give the field as these frames see it."""
        del code, condition
        return self.head

    def eye_control(self, condition: Condition) -> Float[Tensor, " frames"]:
        """Give what drives the eyes: the blink, 0 open to 1 closed."""
        return condition.blink

    def also_composited(self) -> AlsoComposited | None:
        """Tell what shall be composited besides the colour, in training and otherwise."""
        return None

    def named(self, head: HeadOutputs) -> HeadOutputs:
        """Put names to what was composited besides."""
        return head

    def regularised(
        self,
        head: HeadOutputs,
        driven: ConditionedField,
        at: FieldDensity,
        samples: RaySamples,
        condition: FieldCondition,
    ) -> HeadOutputs:
        """Add what the method's own losses need to know of a training step's samples."""
        del driven, at, samples, condition
        return head

    def render_head(self, rays: Rays, code: Float[Tensor, "frames code"], condition: Condition) -> HeadOutputs:
        """March, evaluate the field, composite."""
        config = self.config
        driven, eyes = self.driven_field(code, condition), self.eye_control(condition)
        appearance = self.appearance(condition.frame)
        if not self.training:
            also, grid = self.also_composited(), self.occupancy
            return self.named(
                render_visible(driven, rays, grid, config.step_size, config.max_samples, code, eyes, appearance, also)
            )
        if self.poses.is_on:
            origins, directions = self.poses.refined(rays.origins, rays.directions, condition.frame, rays.row)
            rays = replace(rays, origins=origins, directions=directions)
        samples = sample_occupied(rays, self.occupancy, config.step_size, config.max_samples, self._jitter(rays))
        head, at = render_volume(
            driven, rays, samples, config.step_size, code, eyes, appearance, self.also_composited()
        )
        return self.regularised(
            self.named(head), driven, at, samples, FieldCondition(code, eyes, rays.row[samples.ray])
        )

    def render_picture(self, rays: Rays, code: Float[Tensor, "1 code"], condition: Condition) -> HeadOutputs:
        """Render the head in a whole picture: a plain tri-plane in one fused kernel where there is a GPU for it."""
        driven = self.driven_field(code, condition)
        # Not a subclass, which may be more than the kernel knows.
        plain = type(driven) is TriplaneField and self.also_composited() is None
        if not plain or not renders_fused(driven.grid, rays.origins):
            return super().render_picture(rays, code, condition)
        height, width = len(rays) // rays.picture_width, rays.picture_width
        appearance = self.appearance(condition.frame)
        return HeadOutputs(
            *self._draw_fused(
                rays.origins.view(height, width, 3),
                rays.directions.view(height, width, 3),
                code,
                self.eye_control(condition),
                appearance,
            )
        )

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """Group parameters as the released trainings do."""
        groups = self.head_groups()
        self.poses.get_param_groups(groups)
        groups |= {"decoders": [*groups["decoders"], self.appearance.codes], **self.audio_code.get_param_groups()}
        if self.torso is not None:
            groups["torso_grid"] = [self.torso.table]
            groups["torso"] = [parameter for name, parameter in self.torso.named_parameters() if name != "table"]
        return groups

    def get_loss_dict(
        self, outputs: dict[str, Tensor], batch: dict[str, Any], metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Weigh the losses of the phase, and how far refined poses went."""
        result = super().get_loss_dict(outputs, batch, metrics_dict)
        if "accumulation" in outputs:
            self.poses.get_loss_dict(result)
        return result

    def get_metrics_dict(self, outputs: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, Tensor]:
        """Compute the PSNR of a batch, in dB, and how far refined poses went."""
        metrics = super().get_metrics_dict(outputs, batch)
        self.poses.get_metrics_dict(metrics)
        return metrics

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """Keep both occupancy maps fresh."""
        interval = self.config.occupancy.update_interval
        where = [TrainingCallbackLocation.BEFORE_TRAIN_ITERATION]
        return [TrainingCallback(where, self._update_occupancy, update_every_num_iters=interval)]

    def prepare_training(self, dataset: PortraitDataset) -> None:
        """Measure statistics, and leave in the box only where the head may be.

        That is the visual hull of its masks and, where wanted, a layer around the face.
        """
        super().prepare_training(dataset)
        self.occupancy.forbid(~self.allowed_cells(dataset))

    def allowed_cells(self, dataset: PortraitDataset) -> Bool[Tensor, " cells"]:
        """Tell where in the box the head may be."""
        hull = self.hull(dataset, HEAD_REGIONS, min_share=0.9)
        if not self.config.use_face_surface:
            return hull
        surface = self.face(dataset)
        if surface is None:
            CONSOLE.print("The head turns too little to place its landmarks in depth; its silhouettes alone bound it.")
            return hull
        cells = torch.arange(self.occupancy.occupied.numel(), device=self.device)
        allowed = surface.may_hold_head(self.occupancy.cell_centres(cells).double().cpu().numpy())
        return hull & torch.from_numpy(allowed).to(self.device)

    def hull(self, dataset: PortraitDataset, regions: Sequence[Region], min_share: float) -> Bool[Tensor, " cells"]:
        """Find the cells that regions of the training frames cover; see `OccupancyGrid.hull`."""
        masks, cameras = region_masks(dataset, _HULL_VIEWS, regions)
        focal = self.portrait.focal_px / self.portrait.width
        return self.occupancy.hull(masks.to(self.device), cameras.to(self.device), focal, min_share)

    def face(self, dataset: PortraitDataset) -> FaceSurface | None:
        """Find the face in space; None where the head turns too little."""
        frames = [frame.index for frame in dataset.frames]
        return face_surface(self.portrait, frames, dataset.cameras.camera_to_worlds.cpu().numpy())

    def _draw(
        self, origins: Tensor, directions: Tensor, code: Tensor, eyes: Tensor, appearance: Tensor
    ) -> tuple[Tensor, ...]:
        """Fold and render a picture, as tensors alone: what a graph records."""
        assert isinstance(self.head, TriplaneField)
        row = torch.zeros(origins.shape[:2].numel(), dtype=torch.long, device=origins.device)
        rays = Rays(
            origins.flatten(0, 1), directions.flatten(0, 1), origins.new_empty(len(row), 2), row, len(origins[0])
        )
        config = self.config
        folded = fold(self.head, code, eyes, appearance)
        head = render_folded(folded, rays, self.occupancy, config.step_size, config.max_samples)
        return head.rgb, head.accumulation, head.depth, head.audio_attention, head.eye_attention

    def _update_occupancy(self, step: int) -> None:
        condition = self._random_training_condition(step)
        if self.phase.name == "torso" and self.torso is not None:
            self.torso.update_occupancy(condition.head_pose, condition.frame)
            return
        if self.phase.name == "lips" and not self.config.update_occupancy_in_lips:
            return
        with torch.no_grad():
            code = self.encode_audio(condition)
            driven, eyes = self.driven_field(code, condition), self.eye_control(condition)

        def density(positions: Tensor) -> Tensor:
            parts = []
            for part in positions.split(self.config.eval_num_rays_per_chunk):
                row = torch.zeros(len(part), dtype=torch.long, device=part.device)
                parts.append(driven.density(part, FieldCondition(code, eyes, row)).density)
            return torch.cat(parts)

        self.occupancy.update(density, step)

    def _random_training_condition(self, step: int) -> Condition:
        generator = torch.Generator().manual_seed(step)
        frames = self.portrait.split("train")
        chosen = frames[int(torch.randint(len(frames), (1,), generator=generator))]
        return self.track.at_frames(torch.tensor([chosen.index]), self.device)

    def _jitter(self, rays: Rays) -> Tensor:
        return torch.rand(len(rays), generator=seeded_generator(self.step, self.device), device=self.device)


def parameters_of(*modules: nn.Module) -> list[Parameter]:
    """List the parameters of several modules."""
    return [parameter for module in modules for parameter in module.parameters()]
