"""What every portrait method shares: driving, layers, losses, evaluation. A method fills in the head."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.utils import colormaps
from torch import Tensor, nn

from ns_talking import losses
from ns_talking.data.clip_track import clip_track
from ns_talking.data.decoding import FrameDecoder
from ns_talking.data.format import HEAD_REGIONS, Portrait
from ns_talking.data.landmarks import scheme
from ns_talking.data.lip_shape import inner_lips_mask, lip_shapes
from ns_talking.data.pixel_samplers import PixelGroup
from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.driving.features import steps_per_frame
from ns_talking.driving.track import Condition, DrivingTrack
from ns_talking.fields.torso import TorsoFieldConfig
from ns_talking.metrics.image import psnr, ssim
from ns_talking.metrics.lpips import LPIPS
from ns_talking.modules.audio_code import AudioCode, AudioCodeConfig
from ns_talking.pipelines.phases import Phase
from ns_talking.rendering.layers import over, premultiplied_over
from ns_talking.rendering.rays import Rays, camera_rays
from ns_talking.rendering.volume import HeadOutputs
from ns_talking.utils.progress import CONSOLE

_CELL_DIAGONAL = 2 * math.sqrt(3) / 128
"""Diagonal of a cell of the peers' 128^3 grid over [-1, 1]: the step they all march with, 6.8 mm."""


@dataclass
class PortraitModelConfig(ModelConfig):
    """Options of every portrait method."""

    _target: type = field(default_factory=lambda: PortraitModel)
    enable_collider: bool = False
    """Rays start and end at the head's box, not at fixed distances."""
    eval_num_rays_per_chunk: int = 65_536
    """Rays that are rendered at a time."""
    audio_features: str = "mel"
    """Frozen audio features that the dataset must hold."""
    audio_code: AudioCodeConfig = field(default_factory=AudioCodeConfig)
    """From audio features to the code that drives the face."""
    torso: TorsoFieldConfig = field(default_factory=TorsoFieldConfig)
    """Neck and shoulders."""
    appearance_dim: int = 4
    """Channels of the appearance code of each training frame; 0 switches it off."""
    max_samples: int = 16
    """Occupied samples per ray at most."""
    step_size: float = _CELL_DIAGONAL
    """Distance of two samples in world units (25 cm)."""
    blink_noise: float = 0.05
    """Largest random change of the blink value in training, so that values between the seen ones work."""
    entropy_weight: float = 1e-4
    """Weight of the opacity's entropy, which keeps rays from being half transparent."""
    attention_weight: float = 1e-4
    """Weight, at the end of a phase, of attention to sound outside the face and to blinks at the lips."""
    use_lpips: bool = True
    """Whether the lips phase adds a perceptual loss; without AlexNet's weights it says so and goes on without."""
    lips_lpips_weight: float = 0.01
    """Weight of the perceptual loss on the square around the lips."""
    patch_lpips_weight: float = 0.1
    """Weight of the perceptual loss on patches from anywhere."""
    use_uncertainty: bool = True
    """Whether the head phase weighs rays by their uncertainty, as ER-NeRF's released training does."""


class PortraitModel(Model):
    """A head over a torso over a background, driven by a track.

    Subclasses fill in `populate_modules` (after calling this class's), `render_head` and `get_param_groups`.
    """

    config: PortraitModelConfig

    def populate_modules(self) -> None:
        """Build what all methods share. Needs the dataset's portrait in the metadata."""
        super().populate_modules()
        metadata = self.kwargs["metadata"]
        self.portrait: Portrait = metadata["portrait"]
        self.track: DrivingTrack = clip_track(self.portrait, metadata["features"] or self.config.audio_features)
        """What drives the portrait; exchange it through the pipeline's `set_audio`."""
        features = self.track.features
        self.audio_code: AudioCode = self.config.audio_code.setup(
            feature_channels=features.channels,
            identity=features.identity,
            steps_per_frame=steps_per_frame(features, self.track.fps),
            num_lip_points=len(scheme(self.portrait.landmark_scheme).lips),
            num_frames=self.portrait.num_frames,
        )
        self.torso = self.config.torso.setup()
        self.phase = Phase("head", 0, 1)
        self.step = 0
        self._perceptual_loss: LPIPS | None = None
        self._lpips_missing = False
        decoder = FrameDecoder(self.portrait, self.portrait.width, self.portrait.height)
        self.register_buffer("plate", _as_batch(torch.from_numpy(decoder.background) / 255), persistent=False)
        self.plate: Tensor
        # Nerfstudio's exporter reads this attribute.
        self.renderer_rgb = _BackgroundColour()

    @abstractmethod
    def render_head(self, rays: Rays, code: Float[Tensor, "frames code"], condition: Condition) -> HeadOutputs:
        """Render the head along rays.

        Args:
            rays: Rays of one or several frames.
            code: Audio code of each distinct frame.
            condition: What else drives these frames.
        """

    def encode_audio(self, condition: Condition) -> Float[Tensor, "frames code"]:
        """Encode the sound of each distinct frame."""
        return self.audio_code(condition.audio, condition.frame, self.step)

    def set_background(self, image: UInt8[np.ndarray, "height width 3"] | None) -> None:
        """Show another scene behind the person.

        Args:
            image: RGB of any size, stretched to the portrait's frame; one pixel is a plain colour. None goes back to
                the clip's own background.
        """
        if image is None:
            image = FrameDecoder(self.portrait, self.portrait.width, self.portrait.height).background
        self.plate = _as_batch(torch.from_numpy(image) / 255).to(self.device)

    def set_step(self, step: int, phase: Phase) -> None:
        """Tell the model where training stands; everything random in it is a function of the step."""
        self.step, self.phase = step, phase

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Tensor]:
        """Render the rays of a training or evaluation batch."""
        assert ray_bundle.times is not None
        condition = self.track.at(ray_bundle.times)
        rays = Rays(ray_bundle.origins, ray_bundle.directions, ray_bundle.metadata["pixel"], condition.row)
        if self.training and self.phase.name == "torso":
            torso_rgb, torso_alpha = self.torso(rays.pixels, condition.head_pose, condition.frame, rays.row)
            background = ray_bundle.metadata["background"]
            return {"rgb": over(torso_rgb, torso_alpha, background), "background": background}
        head = self.render_head(rays, self.encode_audio(condition), self._jittered(condition))
        behind = ray_bundle.metadata["behind"]
        return {"rgb": premultiplied_over(head.rgb, head.accumulation, behind), **_as_dict(head)}

    def get_loss_dict(
        self, outputs: dict[str, Tensor], batch: dict[str, Any], metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Weigh the losses of the current phase."""
        if "accumulation" not in outputs:
            target = over(batch["torso"][:, :3], batch["torso"][:, 3:], outputs["background"])
            return {
                "torso_rgb": losses.squared_error(outputs["rgb"], target).mean(),
                "torso_anchors": self.torso.anchor_loss(),
            }
        config, progress = self.config, self.phase.progress
        in_face = batch["in_face"]
        error = losses.squared_error(outputs["rgb"], batch["image"])
        result: dict[str, Tensor] = {}
        # Evaluation renders no uncertainty.
        uncertainty = outputs.get("uncertainty") if self.phase.name == "head" else None
        if uncertainty is not None:
            error = error * losses.uncertainty_weights(uncertainty, progress)
            likelihood = losses.uncertainty_likelihood(outputs["rgb"], batch["image"], uncertainty, in_face)
            result["uncertainty"] = progress * likelihood.mean()
        result["rgb"] = error.mean()
        result["entropy"] = config.entropy_weight * losses.binary_entropy(outputs["accumulation"])
        weight = config.attention_weight * progress
        result["audio_attention"] = weight * losses.outside_face(outputs["audio_attention"], in_face)
        result["eye_attention"] = weight * losses.eye_audio_overlap(
            outputs["eye_attention"], outputs["audio_attention"], in_face, config.max_samples
        )
        if self.phase.name == "lips" and "patch" in batch and (lpips := self._lpips()) is not None:
            on_lips = int(batch["group"][0]) == PixelGroup.LIPS
            patch_weight = config.lips_lpips_weight if on_lips else config.patch_lpips_weight
            patches = [_as_patches(image, batch["patch"]) for image in (outputs["rgb"], batch["image"])]
            result["lpips"] = patch_weight * lpips(*patches)
        if "perturbation" in outputs:
            result["perturbation"] = 1e-5 * progress * outputs["perturbation"]
        return result

    def get_metrics_dict(self, outputs: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, Tensor]:
        """Compute the PSNR of a batch, in dB."""
        return {"psnr": psnr(outputs["rgb"].detach(), batch["image"])}

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: OrientedBox | None = None) -> dict[str, Tensor]:
        """Render the portrait as one camera sees it, at the camera's time (0 where it has none)."""
        del obb_box
        times = camera.times if camera.times is not None else torch.zeros(1, 1)
        condition = self.track.at(times.view(1).to(self.device))
        rays = camera_rays(camera, self.device)
        size = int(camera.height), int(camera.width)
        code = self.encode_audio(condition)
        chunk = self.config.eval_num_rays_per_chunk
        heads = [self.render_head(rays[at : at + chunk], code, condition) for at in range(0, len(rays), chunk)]
        head = {name: torch.cat([_as_dict(part)[name] for part in heads]) for name in _as_dict(heads[0])}
        torso_rgb, torso_alpha = self._torso_layer(rays, camera, condition)
        background = nn.functional.interpolate(self.plate, size, mode="area")[0].permute(1, 2, 0).reshape(-1, 3)
        behind = over(torso_rgb, torso_alpha, background)
        outputs = {
            "rgb": premultiplied_over(head["head_rgb"], head["accumulation"], behind).clamp(0, 1),
            "accumulation": head["accumulation"],
            "depth": head["depth"],
            "head_rgb": head["head_rgb"],
            "torso_rgb": torso_rgb,
            "torso_alpha": torso_alpha,
            "audio_attention": head["audio_attention"][:, None],
            "eye_attention": head["eye_attention"][:, None],
        }
        return {name: value.view(*size, -1) for name, value in outputs.items()}

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Any]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Compare a rendered frame with the real one: PSNR in dB and SSIM, PSNR of the head alone as well.

        The head is also judged over the real torso and background, as the peers do, under its own name.
        """
        # torchmetrics imports transformers where that is installed: seconds that no other method's user should pay.

        target, rendered = batch["image"].to(self.device), outputs["rgb"]
        head = torch.isin(batch["parsing"].to(self.device), _head_values(self.device))
        over_real = premultiplied_over(outputs["head_rgb"], outputs["accumulation"], batch["behind"].to(self.device))
        metrics = {
            "psnr": float(psnr(rendered, target)),
            "ssim": float(ssim(rendered, target)),
            "psnr_head": float(psnr(rendered, target, head)),
            "psnr_over_real_torso": float(psnr(over_real, target)),
        }
        images = {
            "img": torch.cat([target, rendered], dim=1),
            "accumulation": colormaps.apply_colormap(outputs["accumulation"]),
            "audio_attention": colormaps.apply_colormap(outputs["audio_attention"] / self.config.max_samples),
        }
        return metrics, images

    def prepare_training(self, dataset: PortraitDataset) -> None:
        """Measure what training needs of its frames before the first step. Seconds.

        Args:
            dataset: The training frames.
        """
        indices = torch.tensor([frame.index for frame in dataset.frames])
        # The whole context of all frames at once would take eight times the memory of what is needed of it.
        windows = torch.cat(
            [self.audio_code.wide_windows(self.track.at_frames(part).audio) for part in indices.split(128)]
        )
        self.audio_code.fit_statistics(windows)
        layout = scheme(self.portrait.landmark_scheme)
        shapes = lip_shapes(self.portrait.landmarks[indices.numpy()], layout)
        inner_lips = torch.from_numpy(inner_lips_mask(layout))
        fit = self.audio_code.fit_lip_shape(windows, indices, torch.from_numpy(shapes), inner_lips)
        if fit is not None:
            CONSOLE.print(
                f"Fitted lip shape to sound on {len(indices)} frames: correlation {float(fit.correlation[0]):.2f} with "
                "the tracked shape on parts that the fit did not see."
            )

    def _lpips(self) -> LPIPS | None:
        """Load the perceptual loss when it is first needed; it is no part of the checkpoint."""
        if self._perceptual_loss is None and self.config.use_lpips and not self._lpips_missing:
            try:
                self._perceptual_loss = LPIPS(self.device)
            except FileNotFoundError as error:
                self._lpips_missing = True
                CONSOLE.print(f"[yellow]{error} The lips phase goes on with the pixel loss alone.[/yellow]")
        return self._perceptual_loss

    def _jittered(self, condition: Condition) -> Condition:
        """Shake the blink values in training."""
        if not self.training:
            return condition
        generator = torch.Generator().manual_seed(self.step)
        noise = (torch.rand(len(condition.blink), generator=generator) * 2 - 1) * self.config.blink_noise
        return replace(condition, blink=condition.blink + noise.to(condition.blink.device))

    def _torso_layer(self, rays: Rays, camera: Cameras, condition: Condition) -> tuple[Tensor, Tensor]:
        """Evaluate the torso where it may be, under the pose that the camera really has."""
        pose = camera.camera_to_worlds.view(1, 3, 4).to(self.device)
        seen = self.torso.occupied(rays.pixels).nonzero()[:, 0]
        rgb, alpha = rays.pixels.new_zeros(len(rays), 3), rays.pixels.new_zeros(len(rays), 1)
        if len(seen):
            part_rgb, part_alpha = self.torso(rays.pixels[seen], pose, condition.frame, rays.row[seen])
            rgb[seen], alpha[seen] = part_rgb, part_alpha
        return rgb.clamp(0, 1), alpha.clamp(0, 1)


class _BackgroundColour:
    """Tells Nerfstudio's point cloud exporter that the background is no constant colour."""

    background_color = "random"


def _head_values(device: torch.device) -> Tensor:
    return torch.tensor([int(region) for region in HEAD_REGIONS], device=device)


def _as_batch(image: Float[Tensor, "height width 3"]) -> Float[Tensor, "1 3 height width"]:
    return image.permute(2, 0, 1)[None]


def _as_patches(rgb: Float[Tensor, "rays 3"], side: int) -> Float[Tensor, "batch 3 side side"]:
    return rgb.view(-1, side, side, 3).permute(0, 3, 1, 2)


def _as_dict(head: HeadOutputs) -> dict[str, Tensor]:
    values = {entry.name: getattr(head, entry.name) for entry in fields(head)}
    values["head_rgb"] = values.pop("rgb")
    return {name: value for name, value in values.items() if value is not None}
