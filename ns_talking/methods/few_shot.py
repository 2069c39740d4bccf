"""What the few-shot methods share: networks that know faces, and a few pictures that say whose face to draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor
from torch.nn import Parameter

from ns_talking import losses
from ns_talking.data.clip_track import clip_track
from ns_talking.data.format import HEAD_REGIONS
from ns_talking.data.head_masks import region_masks
from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.data.references import Choice, Drawn, References, choose_references, load_references
from ns_talking.driving.features import feature_values
from ns_talking.driving.track import Condition, DrivingTrack
from ns_talking.fields.branch_look_up import BranchLookUp, in_order
from ns_talking.fields.branches import Branches, BranchesConfig, BranchRays, BranchSamples, RayPart, split_rays
from ns_talking.fields.reference_features import ReferenceFeatures, ReferenceFeaturesConfig, SeenReferences
from ns_talking.methods.base import PortraitModel, PortraitModelConfig
from ns_talking.methods.grid import parameters_of
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.modules.audio_encoder import AudioEncoderConfig
from ns_talking.pipelines.base_checkpoint import read_base, start_from
from ns_talking.rendering.hierarchical import Interval, hull_interval, importance, ray_weights, stratified
from ns_talking.rendering.layers import premultiplied_over
from ns_talking.rendering.occupancy import OccupancyGrid, OccupancyGridConfig
from ns_talking.rendering.rays import Rays
from ns_talking.rendering.volume import HeadOutputs
from ns_talking.utils.device import seeded_generator
from ns_talking.utils.files import absolute_path
from ns_talking.utils.progress import CONSOLE

_HULL_VIEWS = 24
_OWN = ("torso.", "reference_", "hull.", "audio_code.mean", "audio_code.scale", "audio_code.rest_", "device_indicator")
"""What each person has for itself: a base does not hand it on."""


@dataclass
class FewShotModelConfig(PortraitModelConfig):
    """Options of every few-shot method."""

    _target: type = field(default_factory=lambda: FewShotModel)
    base: Path | None = None
    """config.yml of a training on other people, whose networks this training starts from; None starts from nothing."""
    reinit_warper: bool = True
    """Whether a training that starts from a base learns anew where to look in the reference pictures, as DFRF does."""
    num_references: int = 4
    """Pictures of the person that are looked up; as many as the datamanager's."""
    references: Choice = "uniform"
    """How the pictures of the finished portrait are chosen from its training frames; the checkpoint keeps them."""
    look_up: ReferenceFeaturesConfig = field(default_factory=ReferenceFeaturesConfig)
    """How they are looked up."""
    branches: BranchesConfig = field(default_factory=BranchesConfig)
    """The fields of the head."""
    audio_code: AudioCodeConfig = field(
        default_factory=lambda: AudioCodeConfig(encoder=AudioEncoderConfig(code_dim=64))
    )
    coarse_samples: int = 64
    """Samples per ray of the coarse pass."""
    fine_samples: int = 128
    """Samples per ray that the fine pass adds."""
    overlap: float = 0.4
    """Share of the rays of either region that both fields are trained on."""
    mask_weight: float = 1e-3
    """Weight of the masks' error."""
    offset_weight: float = 5e-8
    """Weight of the offsets in the reference pictures, in px."""
    use_blink: bool = True
    """Whether the blink drives the fields; our addition, without which eyes follow nothing."""
    occupancy: OccupancyGridConfig = field(default_factory=OccupancyGridConfig)
    """Resolution of the visual hull that bounds the samples; ours, the papers sample between two fixed distances."""
    appearance_dim: int = 0
    entropy_weight: float = 0.0
    attention_weight: float = 0.0
    eval_num_rays_per_chunk: int = 2_048

    def __setattr__(self, name: str, value: Any) -> None:  # Any: whatever the field holds.
        """Keep the base's path absolute, so that a saved config works from every folder."""
        super().__setattr__(name, absolute_path(value) if name == "base" else value)


@dataclass(frozen=True)
class FewShotHead(HeadOutputs):
    """The head, and what only the losses of these methods need."""

    coarse_rgb: Float[Tensor, "rays 3"] | None = None
    """Colour of the coarse pass, weighed by its opacity; in training only."""
    coarse_accumulation: Float[Tensor, "rays 1"] | None = None
    masks: Float[Tensor, "rays passes fields"] | None = None
    """Mask that each field draws by its own density, in each pass."""
    mask_accumulation: Float[Tensor, "rays passes fields"] | None = None
    """Opacity of each field alone; 0 where it did not draw."""
    offset_px: Float[Tensor, ""] | None = None
    """Mean length of the offsets in the reference pictures."""


@dataclass(frozen=True)
class _Person:
    """Whom the model looks at in training."""

    track: DrivingTrack
    hull: Bool[Tensor, "resolution resolution resolution"]
    voice: tuple[Tensor, Tensor] | None
    """What brings the person's sound to the shown one's, as in `AudioCode.voice`."""


class FewShotModel(PortraitModel):
    """A head drawn from a few of its pictures, over its torso.

    Source:
        DFRF (Shen et al., ECCV 2022) and AE-NeRF (Li et al., AAAI 2024). Differs from both: samples lie inside the
        visual hull of the head, the blink drives the fields where `use_blink` says so, and the torso is that of
        ER-NeRF, where theirs is the filmed one, also in the figures they report.
    """

    config: FewShotModelConfig

    def populate_modules(self) -> None:
        """Build fields, look-up and the places of the references in the checkpoint."""
        super().populate_modules()
        config, code_dim = self.config, self.audio_code.code_dim
        self.look_up: ReferenceFeatures = config.look_up.setup(code_dim=code_dim)
        known = {"code_dim": code_dim, "feature_dim": self.look_up.output_dim, "num_controls": int(config.use_blink)}
        known["corrects"] = config.look_up.colours
        self.coarse: Branches = config.branches.setup(**known)
        self.fine: Branches = config.branches.setup(**known)
        self.hull: OccupancyGrid = config.occupancy.setup(bounds=self.scene_box.aabb)
        number = config.num_references
        width, height = self.kwargs["metadata"].get("size_px", (self.portrait.width, self.portrait.height))
        heard = self.track.at_frames(torch.zeros(1, dtype=torch.long)).audio.shape[1:]
        self.register_buffer("reference_images", torch.zeros(number, 3, height, width, dtype=torch.uint8))
        self.register_buffer("reference_cameras", torch.zeros(number, 3, 4))
        self.register_buffer("reference_lens", torch.ones(4))
        self.register_buffer("reference_audio", torch.zeros(number, *heard))
        self.reference_images: Tensor
        self.reference_cameras: Tensor
        self.reference_lens: Tensor
        self.reference_audio: Tensor
        self._others: list[_Person] = []
        self._drawn: Drawn | None = None
        self._shown: SeenReferences | None = None
        self.register_load_state_dict_post_hook(lambda *_: self._forget())

    def train(self, mode: bool = True) -> FewShotModel:
        """Change mode; what was encoded for rendering is out of date afterwards."""
        self._forget()
        super().train(mode)
        return self

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Tensor]:
        """Render rays; those of a training step bring their person and references with them."""
        metadata: dict[str, Any] = ray_bundle.metadata  # Any: Nerfstudio annotates tensors alone.
        with self._looking_at(metadata.get("drawn")):
            outputs = super().get_outputs(ray_bundle)
        if "coarse_rgb" in outputs:
            outputs["coarse_rgb"] = premultiplied_over(
                outputs["coarse_rgb"], outputs["coarse_accumulation"], metadata["behind"]
            )
        return outputs

    def render_head(self, rays: Rays, code: Float[Tensor, "frames code"], condition: Condition) -> FewShotHead:
        """Draw what lies in the hull: a coarse pass, and a fine one where the coarse one found something."""
        drawn = self._drawn
        hull = self.hull.occupied if drawn is None or not drawn.person else self._others[drawn.person - 1].hull
        interval = hull_interval(rays, self.hull.bounds, hull)
        if drawn is None or not self.training:
            return self._only_hit(rays, interval, code, condition)
        branch_rays = BranchRays.all_of_both(interval.hit)
        if self.config.branches.two:
            chance = torch.rand(len(rays), generator=seeded_generator(self.step, self.device), device=self.device)
            branch_rays = split_rays(drawn.lower_half, self.config.overlap, chance)
        return self._draw(rays, interval, code, condition, self._encoded(drawn.references), branch_rays)

    def head_losses(self, outputs: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, Tensor]:
        """Judge both passes by their colours, the fields by their masks, and offsets by their length."""
        if "coarse_rgb" not in outputs:
            return {}
        kind, target = self.config.colour_loss, batch["image"]
        coarse, fine = (losses.colour_error(outputs[name], target, kind) for name in ("coarse_rgb", "rgb"))
        offset = self.config.offset_weight * outputs["offset_px"]
        result = {"rgb": fine.mean(), "coarse": coarse.mean(), "offset": offset}
        if self.config.branches.two:
            error = losses.region_masks(outputs["masks"], outputs["mask_accumulation"], batch["lower_half"])
            result["masks"] = self.config.mask_weight * error
        return result

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """Group parameters by their learning rates."""
        assert self.torso is not None
        torso = [value for name, value in self.torso.named_parameters() if name != "table" and value.numel()]
        return {
            "fields": parameters_of(self.coarse, self.fine),
            "look_up": parameters_of(self.look_up),
            **self.audio_code.get_param_groups(),
            "torso_grid": [self.torso.table],
            "torso": torso,
        }

    def prepare_training(self, dataset: PortraitDataset) -> None:
        """Carve hulls, choose the references of the finished portrait, and take over what a base knows."""
        super().prepare_training(dataset)
        others: list[PortraitDataset] = dataset.metadata.get("others", [])
        self._carve(self.hull, dataset)
        self._others = [self._person(other) for other in others]
        self._keep_references(dataset)
        if self.config.base is not None:
            self._start_from(self.config.base)
        elif not others:
            CONSOLE.print(
                f"[yellow]No base: the networks know no face but what {len(dataset) / self.track.fps:.0f} s of one "
                "person show. With a base they start from many people: lips follow sounds that this clip lacks, and "
                "fewer iterations do. Name one by --pipeline.model.base CONFIG; `ns-train ae-nerf-base --data PEOPLE` "
                "trains it.[/yellow]",
                soft_wrap=True,
            )

    def _start_from(self, config: Path) -> None:
        base = read_base(config)
        theirs = base.get("audio_code._extra_state", {}).get("identity", self.audio_code.identity)
        if theirs != self.audio_code.identity:
            raise ValueError(
                f"The base {config} listens to the audio features {theirs!r}, this dataset has "
                f"{self.audio_code.identity!r}. Choose the base's with --pipeline.model.audio-features NAME, or train "
                "a base on these."
            )
        if (corrects := "look_up.colour_blend.score.weight" in base) != self.config.look_up.colours:
            raise ValueError(
                f"The base {config} {'corrects' if corrects else 'does not correct'} the colours of pictures. Train "
                f"the new person with --pipeline.model.look-up.colours {corrects}, or the base again."
            )
        own = (*_OWN, "look_up.warper.") if self.config.reinit_warper else _OWN
        count = start_from(self, base, own)
        CONSOLE.print(f"Starting from {count:,} parameters of the base {config}.", soft_wrap=True, highlight=False)

    def _carve(self, hull: OccupancyGrid, dataset: PortraitDataset) -> None:
        masks, cameras = (of.to(self.device) for of in region_masks(dataset, _HULL_VIEWS, HEAD_REGIONS))
        hull.forbid(~hull.hull(masks, cameras, dataset.portrait.focal_px / dataset.portrait.width, min_share=0.9))

    def _person(self, dataset: PortraitDataset) -> _Person:
        track = clip_track(dataset.portrait, dataset.metadata["features"] or self.track.features.name)
        if (theirs := track.features.identity) != self.audio_code.identity:
            raise ValueError(
                f"{dataset.portrait.folder} has the audio features {theirs!r}, {self.portrait.folder} has "
                f"{self.audio_code.identity!r}. People who are trained together need the same: process their videos "
                "alike."
            )
        hull: OccupancyGrid = self.config.occupancy.setup(bounds=self.scene_box.aabb.to(self.device))
        self._carve(hull, dataset)
        voice = self.audio_code.voice_match(feature_values(track.features))
        return _Person(track, hull.occupied.to(self.device), voice)

    def _keep_references(self, dataset: PortraitDataset) -> None:
        frames = torch.tensor([frame.index for frame in dataset.frames])
        audio = torch.cat([self.track.at_frames(part).audio for part in frames.split(128)])
        heard = audio[:, audio.shape[1] // 2].mean(dim=-1)
        rows = choose_references(len(dataset), self.config.num_references, self.config.references, heard.cpu().numpy())
        kept = load_references(dataset, rows, self.device)
        self.reference_images.copy_(kept.images)
        self.reference_cameras.copy_(kept.camera_to_world)
        self.reference_lens.copy_(kept.lens)
        self.reference_audio.copy_(audio[torch.from_numpy(rows)])
        self._forget()

    def _forget(self) -> None:
        self._shown = None

    @contextmanager
    def _looking_at(self, drawn: Drawn | None) -> Iterator[None]:
        """Listen to the person of a training step; whatever else drives the portrait waits meanwhile."""
        before = self.track, self.audio_code.voice
        self._drawn = drawn
        if drawn is not None and drawn.person:
            person = self._others[drawn.person - 1]
            self.track, self.audio_code.voice = person.track, person.voice
        try:
            yield
        finally:
            self._drawn = None
            self.track, self.audio_code.voice = before

    def _encoded(self, references: References) -> SeenReferences:
        """Encode the references of a training step."""
        condition = self.track.at_frames(references.frame, self.device)
        rows = torch.searchsorted(condition.frame.cpu(), references.frame)
        audio = condition.audio[rows.to(self.device)]
        return self._seen(references.images, references.camera_to_world, references.lens, audio)

    def _kept(self) -> SeenReferences:
        """Encode the references of the portrait, once per state of the networks."""
        if self._shown is None or self.training:
            # They were heard in the clip, whatever voice drives the portrait now.
            voice, self.audio_code.voice = self.audio_code.voice, None
            try:
                images, cameras, lens = self.reference_images, self.reference_cameras, self.reference_lens
                self._shown = self._seen(images, cameras, lens, self.reference_audio)
            finally:
                self.audio_code.voice = voice
        return self._shown

    def _seen(self, images: Tensor, cameras: Tensor, lens: Tensor, audio: Tensor) -> SeenReferences:
        frames = torch.zeros(len(audio), dtype=torch.long, device=audio.device)
        colours = images.float() / 255
        return SeenReferences(
            images=colours,
            features=self.look_up.encoder(colours, cameras).float(),
            camera_to_world=cameras,
            lens=lens,
            size_px=(images.shape[3], images.shape[2]),
            codes=self.audio_code(audio, frames, self.step),
        )

    def _only_hit(
        self, rays: Rays, interval: Interval, code: Float[Tensor, "frames code"], condition: Condition
    ) -> FewShotHead:
        """Draw the rays that meet the hull, and leave the others empty."""
        hit = RayPart.of(interval.hit)
        part = Rays(hit.take(rays.origins), hit.take(rays.directions), hit.take(rays.pixels), hit.take(rays.row))
        where = Interval(hit.take(interval.near), hit.take(interval.far), hit.take(interval.hit))
        head = self._draw(part, where, code, condition, self._kept(), BranchRays.all_of_both(part.row))
        return FewShotHead(
            rgb=hit.spread(head.rgb),
            accumulation=hit.spread(head.accumulation),
            depth=hit.spread(head.depth),
            audio_attention=hit.spread(head.audio_attention),
            eye_attention=hit.spread(head.eye_attention),
        )

    def _draw(
        self,
        rays: Rays,
        interval: Interval,
        code: Float[Tensor, "frames code"],
        condition: Condition,
        seen: SeenReferences,
        branch_rays: BranchRays,
    ) -> FewShotHead:
        """Sample, look up, ask the fields and composite, twice."""
        config, chance = self.config, seeded_generator(self.step + 1, self.device)

        def jitter(number: int) -> Tensor | None:
            size = len(rays), number
            return torch.rand(size, generator=chance, device=self.device) if self.training else None

        controls = condition.blink[rays.row, None] if config.use_blink else rays.origins[:, :0]
        of_rays = code[rays.row], controls, branch_rays
        apart = config.branches.two and config.look_up.soundless
        pictures = BranchLookUp.of(self.look_up, seen, code, rays.row, rays.directions, branch_rays, apart)

        def looked_up(t: Tensor) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
            points = rays.origins[:, None] + rays.directions[:, None] * t[..., None]
            return points, *pictures.at(points)

        t = stratified(interval, config.coarse_samples, jitter(config.coarse_samples))
        points, features, offsets = looked_up(t)
        coarse = self.coarse(points, rays.directions, pictures.of_fields(features), *of_rays)
        coarse_weights = ray_weights(coarse.density * interval.hit[:, None], t, interval.far)
        added = importance(interval, t, coarse_weights.detach(), config.fine_samples, jitter(config.fine_samples))
        more_points, more_features, more_offsets = looked_up(added)
        t_all, order = torch.cat([t, added], dim=1).sort(dim=1)

        all_points = in_order(points, more_points, order)
        all_features = pictures.of_fields(pictures.in_order(features, more_features, order))
        fine = self.fine(all_points, rays.directions, all_features, *of_rays)
        weights = ray_weights(fine.density * interval.hit[:, None], t_all, interval.far)
        head = FewShotHead(
            rgb=(weights[..., None] * fine.rgb).sum(dim=1),
            accumulation=weights.sum(dim=1, keepdim=True),
            depth=(weights * t_all).sum(dim=1, keepdim=True),
            audio_attention=(weights * fine.follows).sum(dim=1),
            eye_attention=weights.new_zeros(len(rays)),
        )
        if not self.training:
            return head
        masks = [_masks(*of_pass, interval) for of_pass in ((coarse, t), (fine, t_all))]
        return replace(
            head,
            coarse_rgb=(coarse_weights[..., None] * coarse.rgb).sum(dim=1),
            coarse_accumulation=coarse_weights.sum(dim=1, keepdim=True),
            masks=torch.stack([mask for mask, _ in masks], dim=1),
            mask_accumulation=torch.stack([accumulation for _, accumulation in masks], dim=1),
            offset_px=losses.mean_length(torch.cat([offsets, more_offsets])),
        )


def _masks(samples: BranchSamples, t: Tensor, interval: Interval) -> tuple[Tensor, Tensor]:
    """Composite the mask of each field by its own density."""
    fields = range(samples.own_density.shape[2])
    weights = [ray_weights(samples.own_density[..., of] * interval.hit[:, None], t, interval.far) for of in fields]
    masks = [(weight * samples.own_mask[..., of]).sum(dim=1) for of, weight in zip(fields, weights, strict=True)]
    return torch.stack(masks, dim=1), torch.stack([weight.sum(dim=1) for weight in weights], dim=1)
