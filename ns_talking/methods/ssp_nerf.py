"""SSP-NeRF: one field for head and torso that also parses the portrait, and rays where it is learned worst.

Source:
    Liu, Xu, Wu, Zhou, Wu, Zhou: "Semantic-Aware Implicit Neural Audio-Driven Video Portrait Generation", ECCV 2022.
    Its structure is the paper's: a torso that is deformed into the head's field, a branch that parses, rays shared out
    by the loss of each class. Its training code was never released, so sizes, weights and schedules are ours, as is all
    that the parts say of themselves; the latent code on a face mesh is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from jaxtyping import Bool, Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from nerfstudio.plugins.types import MethodSpecification
from torch import Tensor
from torch.nn import Parameter

from ns_talking import losses
from ns_talking.data.class_sampler import ClassPixelSamplerConfig
from ns_talking.data.face_classes import NUM_CLASSES, TORSO_CLASSES, FaceClass
from ns_talking.data.format import Region
from ns_talking.data.head_masks import class_areas, class_masks, region_masks
from ns_talking.data.pixel_samplers import AlternatingPixelSamplerConfig, PixelGroup
from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.driving.track import Condition, nearest_to_mean
from ns_talking.fields.base import ConditionedField, FieldDensity
from ns_talking.fields.mlp import MLPField, MLPFieldConfig
from ns_talking.fields.placed import PlacedField
from ns_talking.fields.posed_canvas import PosedCanvasConfig
from ns_talking.fields.torso_deformation import TorsoDeformationConfig
from ns_talking.fields.triplane import TriplaneField, TriplaneFieldConfig
from ns_talking.methods.er_nerf import RATES
from ns_talking.methods.grid import GridPortraitModel, GridPortraitModelConfig
from ns_talking.methods.presets import cpu_config, gpu_config, wants_gpu_preset
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.modules.class_balance import ClassBalanceConfig, class_counts
from ns_talking.modules.parsing_head import ParsingHead
from ns_talking.pipelines.phases import Phase, PhasesConfig
from ns_talking.pipelines.schedules import PhaseDecayConfig
from ns_talking.pipelines.trainer import PortraitTrainerConfig
from ns_talking.rendering.occupancy import OccupancyGridConfig
from ns_talking.rendering.volume import AlsoComposited, HeadOutputs
from ns_talking.utils.compat import allow_scalars_in_checkpoints

_TORSO = [int(one) for one in TORSO_CLASSES]
_OF_HEAD = tuple(one for one in FaceClass if one not in (FaceClass.BACKGROUND, *TORSO_CLASSES))
_VIEWS = 24
_FAINT = 2.0
"""Density below which a cell is empty: an untrained field has 1. With the head methods' threshold, the mean density, a
head that is learned sooner emptied the cells of the torso for good."""


@dataclass
class SSPNeRFModelConfig(GridPortraitModelConfig):
    """Options of SSP-NeRF."""

    _target: type = field(default_factory=lambda: SSPNeRFModel)
    representation: Literal["triplane", "mlp"] = "triplane"
    """What shows head and torso: ER-NeRF's tri-planes, or the deep network of the paper's lineage, far slower."""
    head: TriplaneFieldConfig = field(default_factory=TriplaneFieldConfig)
    """Tri-planes."""
    occupancy: OccupancyGridConfig = field(default_factory=lambda: OccupancyGridConfig(max_threshold=_FAINT))
    mlp: MLPFieldConfig = field(default_factory=MLPFieldConfig)
    """Deep network."""
    torso: Annotated[PosedCanvasConfig | None, tyro.conf.Suppress] = None
    use_deformation: bool = True
    """Whether the torso is deformed into the head's field; without, it is learned as if it moved with the head."""
    deformation: TorsoDeformationConfig = field(default_factory=TorsoDeformationConfig)
    """Torso deformation."""
    balance: ClassBalanceConfig = field(default_factory=ClassBalanceConfig)
    """How the losses of classes reach the sampler of pixels."""
    parsing_weight: float = 0.04
    """Weight of the cross entropy of the rendered classes. Short trainings at 128 px take less than a tenth of it:
    there the cross entropy outweighs the colour, and both learn by the same planes."""
    parsing_octaves: int = 6
    """Octaves that encode the place of a point for the parsing, beside what the planes say of it; 0 leaves the place
    out, as in the paper."""
    parsing_by_area: bool = True
    """Whether classes are told apart as if rays lay anywhere: the cross entropy takes out how much oftener rays show a
    class than the picture does, without which rare classes spread. Our design, after Menon et al., "Long-tail learning
    via logit adjustment", ICLR 2021."""
    clear_weight: float = 0.05
    """Weight of the squared opacity where the classes say that nobody is. Our design."""
    solid_weight: float = 0.05
    """Weight of the squared transparency where the classes show the head. A field that is always seen before the same
    scene learns a head through which it shines, as colours can make up for it. Our design."""
    share_weight: float = 0.1
    """Weight that draws clothes to the torso's motion and the head away from it; the neck is free. Our design."""
    area_power: float = 0.5
    """How far the losses of rays make up for there being more of them than their class has of the picture: a ray weighs
    (share of the picture / share of the rays) to this power. 0 is the paper's; with 1 classes matter by their area as
    if rays lay anywhere. Our design."""
    bend_weight: float = 3e-2
    """Weight of what moves besides, so that it explains only what the torso's motion cannot. Our design."""
    torso_front: float = 0.25
    """How far the torso may reach in front of the head's centre, towards the camera, in world units (25 cm)."""
    torso_back: float = 0.2
    """How far it may reach behind it."""

    def __setstate__(self, state: dict[str, Any]) -> None:  # Any: the fields.
        """Read configs of version 0.1.0, whose rays all weigh alike."""
        earlier = {"area_power": 0.0, "parsing_octaves": 0, "parsing_by_area": False}
        earlier |= {"clear_weight": 0.0, "solid_weight": 0.0}
        self.__dict__.update({**earlier, **state})


class SSPNeRFModel(GridPortraitModel):
    """Head and torso in one field.

    While not training, the parsing separates them: rays that see neck or clothes become the torso layer behind the
    head, so that everything that knows layers works. The picture is the same.
    """

    config: SSPNeRFModelConfig
    head: TriplaneField | MLPField

    def populate_modules(self) -> None:
        """Build deformation, parsing branch, and the means of the losses."""
        super().populate_modules()
        config = self.config
        poses = self.portrait.head_poses[[frame.index for frame in self.portrait.split("train")]]
        canonical = torch.from_numpy(poses[nearest_to_mean(poses), :3].astype(np.float32))
        self.deformation = (
            config.deformation.setup(canonical_pose=canonical, num_frames=self.portrait.num_frames)
            if config.use_deformation
            else None
        )
        if isinstance(self.head, TriplaneField):
            self.head.uncertainty_mlp.requires_grad_(False)  # Nothing of this method asks it.
        self.parsing_head = ParsingHead(
            self.head.config.geometry_dim, NUM_CLASSES, place_octaves=self.config.parsing_octaves
        )
        self.balance = config.balance.setup(num_classes=NUM_CLASSES)
        self.register_buffer("class_area", torch.full((NUM_CLASSES,), 1 / NUM_CLASSES), persistent=False)
        self.class_area: Tensor

    def head_config(self) -> InstantiateConfig:
        """Choose the field."""
        return self.config.head if self.config.representation == "triplane" else self.config.mlp

    def head_groups(self) -> dict[str, list[Parameter]]:
        """Group planes, where there are any, decoders, and the deformation."""
        groups = {"planes": [self.head.planes]} if isinstance(self.head, TriplaneField) else {}
        decoders = [value for name, value in self.head.named_parameters() if name != "planes" and value.requires_grad]
        groups |= {"decoders": decoders, "parsing": list(self.parsing_head.parameters())}
        if self.deformation is not None:
            groups["deformation"] = [value for value in self.deformation.parameters() if value.numel()]
        return groups

    def set_step(self, step: int, phase: Phase) -> None:
        """Tell the sampler the losses of the classes where the schedule says so."""
        super().set_step(step, phase)
        if self.training:
            self.balance.tell(step)

    def class_losses(self) -> Float[np.ndarray, " classes"] | None:
        """Tell the mean loss of each class."""
        return self.balance.known

    def driven_field(self, code: Float[Tensor, "frames code"], condition: Condition) -> ConditionedField:
        """Deform the torso into the canonical frame."""
        del code
        if self.deformation is None:
            return PlacedField(self.head)
        return self.deformation.moved(self.head, condition.head_pose, condition.frame, self.step)

    def also_composited(self) -> AlsoComposited:
        """Composite the logits, and in training how the torso moves."""
        if self.training:
            # A class or a motion that is not learned yet would make holes where it is.
            return AlsoComposited(NUM_CLASSES + 2, self._logits_and_motion, moves_density=False)
        return AlsoComposited(NUM_CLASSES, self._logits)

    def named(self, head: HeadOutputs) -> HeadOutputs:
        """Put the background behind the logits, and lay head and torso apart."""
        assert head.composited is not None
        logits = head.composited[:, :NUM_CLASSES]
        seen = self.parsing_head.over_background(logits, head.accumulation)
        if self.training:
            return replace(head, composited=None, logits=seen, torso_motion=head.composited[:, NUM_CLASSES:])
        # Rays are parsed, not samples: those behind a surface were never told what they are, nor is each one on it.
        of_torso = torch.isin(logits[:, 1:].argmax(dim=1) + 1, torch.tensor(_TORSO, device=logits.device))[:, None]
        torso = torch.cat([head.rgb / head.accumulation.clamp(min=1e-6), head.accumulation], dim=1)
        return replace(
            head,
            composited=None,
            logits=seen,
            face_class=seen.argmax(dim=1, keepdim=True).float(),
            rgb=head.rgb.masked_fill(of_torso, 0),
            accumulation=head.accumulation.masked_fill(of_torso, 0),
            depth=head.depth.masked_fill(of_torso, 0),
            torso=torso.masked_fill(~of_torso, 0),
        )

    def head_losses(self, outputs: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, Tensor]:
        """Parse, and keep the torso's motion where it belongs; take in the losses of the classes."""
        if "face_class" not in batch:
            raise ValueError(
                "ssp-nerf learns the classes of pixels, and the data tells none. Switch them on: "
                "--pipeline.datamanager.face-classes True"
            )
        config, classes = self.config, batch["face_class"].long()
        weight, logits = self._ray_weights(classes, batch["group"]), outputs["logits"].float()
        if self.training and config.parsing_by_area:
            logits = logits + self._oftener_seen(classes, weight)
        parsing = config.parsing_weight * F.cross_entropy(logits, classes, reduction="none")
        colour = losses.colour_error(outputs["rgb"], batch["image"], config.colour_loss)
        result = {"rgb": (weight * colour).mean(), "parsing": (weight * parsing).mean()}
        if self.training:
            self.balance.observe(losses.squared_error(outputs["rgb"], batch["image"]) + parsing, classes)
            opacity = outputs["accumulation"][:, 0]
            haze = opacity.square() * (classes == FaceClass.BACKGROUND)
            result["clear"] = config.clear_weight * (weight * haze).mean()
            clothes = classes == FaceClass.CLOTHES
            head = (classes != FaceClass.BACKGROUND) & (classes != FaceClass.NECK) & ~clothes
            result["solid"] = config.solid_weight * (weight * (1 - opacity).square() * head).mean()
            if self.deformation is not None:
                share, bend = outputs["torso_motion"].unbind(dim=1)
                wanted = opacity.detach() * clothes
                result["torso_share"] = config.share_weight * ((share - wanted).square() * (clothes | head)).mean()
                result["torso_bend"] = config.bend_weight * bend.mean()
        return result

    def get_metrics_dict(self, outputs: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, Tensor]:
        """Add each class's share of the rays that were drawn by class, and of the mean losses."""
        metrics = super().get_metrics_dict(outputs, batch)
        if not self.training or "face_class" not in batch:
            return metrics
        rays, means = _drawn_by_class(batch["face_class"].long(), batch["group"]), self.balance.means
        means = means / means.sum().clamp(min=1e-12)
        for one in FaceClass:
            metrics[f"ray_share_{one.name.lower()}"], metrics[f"loss_share_{one.name.lower()}"] = rays[one], means[one]
        return metrics

    def prepare_training(self, dataset: PortraitDataset) -> None:
        """Tell the torso's motion beforehand where the training frames show clothes, and where the head."""
        super().prepare_training(dataset)
        if not dataset.store.face_classes:
            return
        self.class_area.copy_(class_areas(dataset, _VIEWS))
        if self.deformation is None:
            return
        focal = self.portrait.focal_px / self.portrait.width
        clothes, head = (
            self.occupancy.seen_in(masks.to(self.device), cameras.to(self.device), focal)
            for masks, cameras in (class_masks(dataset, _VIEWS, of) for of in ((FaceClass.CLOTHES,), _OF_HEAD))
        )
        known = ((clothes + head) > 0).nonzero()[:, 0]
        if len(known):
            wanted = (clothes / (clothes + head).clamp(min=1))[known]
            self.deformation.learn_share(self.occupancy.cell_centres(known), wanted, self.step)

    def allowed_cells(self, dataset: PortraitDataset) -> Bool[Tensor, " cells"]:
        """Add where the torso may be: in its silhouette of any frame, at about the depth of the head's centre."""
        masks, cameras = region_masks(dataset, _VIEWS, (Region.TORSO,))
        focal = self.portrait.focal_px / self.portrait.width
        seen = self.occupancy.seen_in(masks.to(self.device), cameras.to(self.device), focal) > 0
        centres = self.occupancy.cell_centres(torch.arange(len(seen), device=self.device))
        towards_camera = dataset.cameras.camera_to_worlds[:, :3, 3].mean(dim=0).to(self.device)
        nearness = centres @ (towards_camera / towards_camera.norm())
        layer = (nearness < self.config.torso_front) & (nearness > -self.config.torso_back)
        return super().allowed_cells(dataset) | (seen & layer)

    def _ray_weights(self, classes: Int[Tensor, " rays"], group: Int[Tensor, " rays"]) -> Float[Tensor, " rays"]:
        """Weigh rays whose class has more of them than of the picture lower, by 1 in the mean; others alike."""
        rays = _drawn_by_class(classes, group)
        weight = (self.class_area.clamp(min=1e-4) / rays.clamp(min=1e-4)).pow(self.config.area_power)[classes]
        weight = torch.where(group == PixelGroup.CLASS, weight, 1.0)
        return weight / weight.mean().clamp(min=1e-12)

    def _oftener_seen(self, classes: Int[Tensor, " rays"], weight: Float[Tensor, " rays"]) -> Float[Tensor, " classes"]:
        """Tell by how much each class weighs more among the rays than it has of the picture, as a logarithm."""
        seen = (class_counts(classes, NUM_CLASSES) * weight[:, None]).mean(dim=0)
        return (seen.clamp(min=1e-4) / self.class_area.clamp(min=1e-4)).log()

    def _logits_and_motion(self, at: FieldDensity) -> Tensor:
        still = torch.zeros_like(at.density)
        share = still if at.torso_share is None else at.torso_share
        bend = still if at.shift is None else at.shift
        return torch.cat([self._logits(at), torch.stack([share, bend], dim=1)], dim=1)

    def _logits(self, at: FieldDensity) -> Tensor:
        return self.parsing_head(at.geometry, at.place)


def _drawn_by_class(classes: Int[Tensor, " rays"], group: Int[Tensor, " rays"]) -> Float[Tensor, " classes"]:
    """Tell each class's share of the rays that were drawn by class, or of all where none was."""
    drawn = group == PixelGroup.CLASS
    return class_counts(classes[drawn] if drawn.any() else classes, NUM_CLASSES).mean(dim=0)


allow_scalars_in_checkpoints()

_OF_TORSO = ("torso", "torso_grid")
_RATES = replace(
    RATES,
    grids={name: rate for name, rate in RATES.grids.items() if name not in _OF_TORSO},
    networks={
        **{name: rate for name, rate in RATES.networks.items() if name not in _OF_TORSO},
        "deformation": 1e-3,
        "parsing": 5e-3,
    },
    with_momentum=("deformation", "parsing"),
)
_PHASES = PhasesConfig(head=100_000, lips=25_000, torso=0)
_CPU_STEPS = 2_500
_ANYWHERE, _BESIDE = 0.35, 0.1
"""Shares of the rays that lie anywhere, and beside the person. With 35 % of them anywhere instead of half, eyes,
lips and inner mouth of the procedural head had 0.4 dB more after 1,000 steps and the whole frame 0.1 dB, on validation
frames without a GPU."""
_METHOD = "ssp-nerf"


def _cpu_model() -> SSPNeRFModelConfig:
    """Suit the model to 128 px and 2,500 steps, as er-nerf's preset does, with a smaller deformation."""
    return SSPNeRFModelConfig(
        use_face_surface=True,
        distortion_weight=2e-3,
        occupancy=OccupancyGridConfig(resolution=64, update_interval=32, update_parts=4, max_threshold=_FAINT),
        audio_code=AudioCodeConfig(use_lip_shape=True),
        deformation=TorsoDeformationConfig(octaves=4, hidden_dim=32, num_layers=3, share_octaves=3),
        balance=ClassBalanceConfig(warm_up=200, interval=100),
        parsing_weight=0.003,
        appearance_dim=0,
        use_lpips=False,
    )


def _by_class(config: PortraitTrainerConfig, blink_frames: int) -> PortraitTrainerConfig:
    """Draw the pixels of a preset by class."""
    data = config.pipeline.datamanager
    by_class = ClassPixelSamplerConfig(anywhere_share=_ANYWHERE, edge_share=_BESIDE)
    data.face_classes, data.pixel_sampler = True, replace(by_class, blink_frames=blink_frames)
    data.lips_sampler = AlternatingPixelSamplerConfig(odd=by_class)
    return config


def _gpu() -> PortraitTrainerConfig:
    """The grids' schedule, without a phase for the torso."""
    model = SSPNeRFModelConfig()
    config = gpu_config(_METHOD, model, _RATES, _PHASES, PhaseDecayConfig(), AlternatingPixelSamplerConfig())
    return _by_class(config, blink_frames=0)


def _cpu() -> PortraitTrainerConfig:
    """One phase, as in the paper: nothing is refined on patches where no perceptual loss is."""
    config = _by_class(cpu_config(_METHOD, _cpu_model(), _RATES), blink_frames=3)
    config.pipeline.phases = PhasesConfig(head=_CPU_STEPS, lips=0, torso=0)
    config.pipeline.train_torso_beside_head = False
    config.max_num_iterations = _CPU_STEPS
    return config


ssp_nerf = MethodSpecification(
    config=_gpu() if wants_gpu_preset() else _cpu(),
    description="SSP-NeRF: one field for head and torso that parses the portrait (ECCV 2022), rays by class.",
)
