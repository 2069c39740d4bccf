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
from ns_talking.data.lip_shape import inner_lips_mask
from ns_talking.data.pixel_samplers import PixelGroup
from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.data.rest import rest_of
from ns_talking.driving.track import Condition, DrivingTrack
from ns_talking.fields.posed_canvas import PosedCanvas, PosedCanvasConfig
from ns_talking.fields.torso import TorsoFieldConfig
from ns_talking.methods.audio_preparation import prepare_audio_code
from ns_talking.methods.point_cloud import PointCloudSource
from ns_talking.methods.torso_layer import TorsoLayer
from ns_talking.metrics.image import psnr, ssim
from ns_talking.metrics.lpips import LPIPS
from ns_talking.modules.audio_code import AudioCode, AudioCodeConfig
from ns_talking.modules.mlp import Implementation, choose_implementation
from ns_talking.pipelines.phases import Phase
from ns_talking.rendering.layers import over, premultiplied_over
from ns_talking.rendering.rays import Rays, camera_rays
from ns_talking.rendering.volume import HeadOutputs
from ns_talking.utils.device import seeded_generator
from ns_talking.utils.progress import CONSOLE
from ns_talking.viewer.panel import TalkingPanel

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
    implementation: Implementation = "torch"
    """Whose grids and networks: `torch`, our own, or `tcnn`, tiny-cuda-nn's. Checkpoints are the same."""
    audio_features: str = "auto"
    """Frozen audio features that the dataset must hold: mel, hubert, wav2vec2, whisper, or those of a file of another
    tool. `auto` takes hubert where the dataset holds it, else mel, and is replaced in config.yml by what was taken."""
    audio_code: AudioCodeConfig = field(default_factory=AudioCodeConfig)
    """From audio features to the code that drives the face."""
    torso: PosedCanvasConfig = field(default_factory=TorsoFieldConfig)
    """Neck and shoulders."""
    appearance_dim: int = 4
    """Channels of the appearance code of each training frame; 0 switches it off."""
    max_samples: int = 16
    """Occupied samples per ray at most."""
    step_size: float = _CELL_DIAGONAL
    """Distance of two samples in world units (25 cm)."""
    blink_noise: float = 0.05
    """Largest random change of the blink value in training, so that values between the seen ones work."""
    colour_loss: losses.ColourLoss = "squared"
    """What is least where head and frame agree: squared as in the papers, absolute, or charbonnier between them."""
    entropy_weight: float = 1e-4
    """Weight of the opacity's entropy, which keeps rays from being half transparent."""
    distortion_weight: float = 0.0
    """Weight of the spread of a ray's density, which makes surfaces thin; not in the portrait papers."""
    attention_weight: float = 1e-4
    """Weight, at the end of a phase, of whatever follows the sound outside the face or the blinks at the lips."""
    use_lpips: bool = True
    """Whether the lips phase adds a perceptual loss; without AlexNet's weights it says so and goes on without."""
    lips_lpips_weight: float = 0.01
    """Weight of the perceptual loss on the square around the lips."""
    patch_lpips_weight: float = 0.1
    """Weight of the perceptual loss on patches from anywhere."""


class PortraitModel(Model):
    """A head over a torso over a background, driven by a track.

    Subclasses fill in `populate_modules` (after calling this class's), `render_head`, `get_param_groups`, and the
    losses that are theirs alone.
    """

    config: PortraitModelConfig
    works_in_halves = False  # Whether a CPU's threads are better used on two halves of the samples; see `in_halves`.

    def __init__(self, config: PortraitModelConfig, **kwargs: Any) -> None:  # Any: what Nerfstudio hands to models.
        super().__init__(config, **kwargs)
        choose_implementation(self, config.implementation)

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
            steps_per_frame=features.steps_per_frame(self.track.fps),
            num_lip_points=len(scheme(self.portrait.landmark_scheme).lips),
            num_frames=self.portrait.num_frames,
            fps=self.track.fps,
            context=self.track.context,
            window=features.window,
        )
        torso: PosedCanvasConfig | None = self.config.torso
        self.torso: PosedCanvas | None = None if torso is None else torso.setup()
        """None where the head's field shows the torso as well."""
        self._draw_torso = None if self.torso is None else TorsoLayer(self.torso)
        self.held_frame: int | None = None  # Frame of the track that is shown whatever the time.
        self.phase, self.step = Phase("head", 0, 1), 0
        self._perceptual_loss: LPIPS | None = None
        self._lpips_missing = False
        decoder = FrameDecoder(self.portrait, self.portrait.width, self.portrait.height)
        self.register_buffer("plate", _as_batch(torch.from_numpy(decoder.background) / 255), persistent=False)
        self.plate: Tensor
        self.panel = TalkingPanel(self)  # Nerfstudio's viewer looks for it among the attributes.
        self.renderer_rgb = PointCloudSource()  # Nerfstudio's exporter looks for it by this name.

    @abstractmethod
    def render_head(self, rays: Rays, code: Float[Tensor, "frames code"], condition: Condition) -> HeadOutputs:
        """Render the head along rays.

        Args:
            rays: Rays of one or several frames.
            code: Audio code of each distinct frame.
            condition: What else drives these frames.
        """

    def render_picture(self, rays: Rays, code: Float[Tensor, "1 code"], condition: Condition) -> HeadOutputs:
        """Render the head in a whole picture of one frame, `eval_num_rays_per_chunk` rays at a time."""
        chunk = self.config.eval_num_rays_per_chunk
        parts = [self.render_head(rays[at : at + chunk], code, condition) for at in range(0, len(rays), chunk)]
        names = [entry.name for entry in fields(HeadOutputs) if getattr(parts[0], entry.name) is not None]
        return HeadOutputs(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    def encode_audio(self, condition: Condition) -> Float[Tensor, "frames code"]:
        """Encode the sound of each distinct frame."""
        return self.audio_code(condition.audio, condition.frame, self.step, condition.voice)

    def get_rgba_image(self, outputs: dict[str, Tensor], output_name: str = "rgb") -> Tensor:
        """Give the head's own colours and its opacity: where it is seen through, torso and background are not of it."""
        if output_name != "rgb" or self.held_frame is None:
            return super().get_rgba_image(outputs, output_name)
        return self.renderer_rgb.points(outputs["head_rgb"], outputs["accumulation"])

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
        condition = self._heard_by(ray_bundle)
        if "pixel" not in ray_bundle.metadata:  # Nerfstudio's exporter tries rays that belong to no picture.
            rays = Rays(ray_bundle.origins, ray_bundle.directions, ray_bundle.origins[:, :2] * 0, condition.row)
            return self.render_head(rays, self.encode_audio(condition), condition).by_name()
        rays = Rays(ray_bundle.origins, ray_bundle.directions, ray_bundle.metadata["pixel"], condition.row)
        if self.training and self.phase.name == "torso" and self.torso is not None:
            torso_rgb, torso_alpha = self.torso(rays.pixels, condition.head_pose, condition.frame, rays.row)
            behind = ray_bundle.metadata["background"]
            return {"rgb": over(torso_rgb, torso_alpha, behind), "background": behind, "torso_alpha": torso_alpha}
        head = self.render_head(rays, self.encode_audio(condition), self._jittered(condition))
        pixels = ray_bundle.metadata
        behind = pixels["behind"] if self.torso is not None else head.own_torso_over(pixels["background"])
        outputs = {"rgb": premultiplied_over(head.rgb, head.accumulation, behind), **head.by_name()}
        return outputs if self.training else {**outputs, "depth": _distance(outputs)}

    def get_loss_dict(
        self, outputs: dict[str, Tensor], batch: dict[str, Any], metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Weigh the losses of the current phase: those of every method, and the method's own."""
        if "accumulation" not in outputs:
            target = over(batch["torso"][:, :3], batch["torso"][:, 3:], outputs["background"])
            return {
                "torso_rgb": losses.squared_error(outputs["rgb"], target).mean(),
                **self.torso_losses(outputs),
            }
        config = self.config
        result = {
            "rgb": losses.colour_error(outputs["rgb"], batch["image"], config.colour_loss).mean(),
            "entropy": config.entropy_weight * losses.binary_entropy(outputs["accumulation"]),
            **self.head_losses(outputs, batch),
        }
        if config.distortion_weight and "weights" in outputs:
            spread = losses.distortion(outputs["weights"], outputs["t"], config.step_size)
            result["distortion"] = config.distortion_weight * spread.mean()
        if self.phase.name == "lips" and "patch" in batch and (lpips := self._lpips()) is not None:
            on_lips = batch["patch_group"] == PixelGroup.LIPS
            patch_weight = config.lips_lpips_weight if on_lips else config.patch_lpips_weight
            patches = [_as_patches(image, batch["patch"]) for image in (outputs["rgb"], batch["image"])]
            result["lpips"] = patch_weight * lpips(*patches)
        return result

    def class_losses(self) -> Float[np.ndarray, " classes"] | None:
        """Tell the mean loss of each class of pixels, by which rays are shared out; None where they are not."""
        return None

    def head_losses(self, outputs: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, Tensor]:
        """Weigh the losses that only this method's head has; they replace the common ones of the same name."""
        del outputs, batch
        return {}

    def torso_losses(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weigh the losses that only this method's torso has."""
        del outputs
        return {}

    def get_metrics_dict(self, outputs: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, Tensor]:
        """Compute the PSNR of a batch, in dB."""
        return {"psnr": psnr(outputs["rgb"].detach(), batch["image"])}

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: OrientedBox | None = None) -> dict[str, Tensor]:
        """Render the portrait as one camera sees it.

        Args:
            camera: A batch of one. Of the clip, it shows what is heard at its frame's instant, else at its time or 0.
            obb_box: Is ignored; the head has a box of its own.
        """
        del obb_box
        if self.panel.watches(camera):
            return self.panel.render(camera)
        size = int(camera.height), int(camera.width)
        background = nn.functional.interpolate(self.plate, size, mode="area")[0].permute(1, 2, 0).reshape(-1, 3)
        pose = camera.camera_to_worlds.view(1, 3, 4)
        outputs = self.render_rays(camera_rays(camera, self.device), self._heard_at(camera), pose, background)
        return {name: value.view(*size, -1) for name, value in outputs.items()}

    @torch.no_grad()
    def render_rays(
        self,
        rays: Rays,
        condition: Condition,
        pose: Float[Tensor, "1 3 4"],
        background: Float[Tensor, "rays 3"],
    ) -> dict[str, Tensor]:
        """Render all layers along the rays of one camera.

        Args:
            rays: Any part of a picture.
            condition: What drives the portrait, one frame.
            pose: Camera-to-world that the torso follows.
            background: The scene behind the person along each ray.

        Returns:
            Tensors with a row per ray; depth is the expected distance in world units, 0 where there is no head.
        """
        picture = self.render_picture(rays, self.encode_audio(condition), condition)
        head = picture.by_name()
        if self._draw_torso is not None:
            torso_rgb, torso_alpha = self._draw_torso(rays, pose.to(self.device), condition.frame)
        else:
            assert picture.torso is not None
            torso_rgb, torso_alpha = picture.torso.split((3, 1), dim=1)
        behind = over(torso_rgb, torso_alpha, background)
        return {
            "rgb": premultiplied_over(head["head_rgb"], head["accumulation"], behind).clamp(0, 1),
            "accumulation": head["accumulation"],
            "depth": _distance(head),
            "head_rgb": head["head_rgb"],
            "torso_rgb": torso_rgb,
            "torso_alpha": torso_alpha,
            "audio_attention": head["audio_attention"][:, None],
            "eye_attention": head["eye_attention"][:, None],
            **({} if picture.face_class is None else {"face_class": picture.face_class}),
        }

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Any]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Compare a rendered frame with the real one: PSNR in dB and SSIM, PSNR of the head alone as well.

        The head is also judged over the real torso and background, as the peers do, under its own name.
        """
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
        frames = [frame.index for frame in dataset.frames]
        prepare_audio_code(self.audio_code, self.portrait, self.track, frames, self.device)
        self.measure_rest(dataset, self.track)

    def measure_rest(self, dataset: PortraitDataset, track: DrivingTrack) -> None:
        """Find how the speaker holds the mouth in the clip's pauses, for the pauses of other sound.

        Args:
            dataset: The training frames.
            track: The clip's own track.
        """
        chosen, shapes = rest_of(self.portrait, [frame.index for frame in dataset.frames])
        audio = track.at_frames(torch.from_numpy(chosen)).audio
        inner_lips = torch.from_numpy(inner_lips_mask(scheme(self.portrait.landmark_scheme)))
        self.audio_code.set_rest(audio.to(self.device), torch.from_numpy(shapes), inner_lips)

    def _heard_by(self, rays: RayBundle) -> Condition:
        if self.held_frame is None and rays.times is not None:
            return self.track.at(rays.metadata.get("host_times", rays.times), self.device)
        return self.track.at_frames(torch.full((len(rays),), self.held_frame or 0), self.device)

    def _heard_at(self, camera: Cameras) -> Condition:
        frame = (camera.metadata or {}).get("frame_index") if self.held_frame is None else torch.tensor(self.held_frame)
        if frame is not None:
            return self.track.at_frames(frame.view(1).clamp(max=self.track.num_frames - 1).to(self.device))
        times = camera.times if camera.times is not None else torch.zeros(1, 1)
        return self.track.at(times.view(1).to(self.device))

    def _lpips(self) -> LPIPS | None:
        """Load the perceptual loss when it is first needed; it is no part of the checkpoint."""
        if self._perceptual_loss is None and self.config.use_lpips and not self._lpips_missing:
            try:
                self._perceptual_loss = LPIPS.found(self.device)
            except (FileNotFoundError, ValueError) as error:
                self._lpips_missing = True
                CONSOLE.print(f"[yellow]{error} The lips phase goes on with the pixel loss alone.[/yellow]")
        return self._perceptual_loss

    def _jittered(self, condition: Condition) -> Condition:
        """Shake the blink values in training."""
        if not self.training:
            return condition
        blink = condition.blink
        noise = torch.rand(blink.shape, generator=seeded_generator(self.step, blink.device), device=blink.device)
        return replace(condition, blink=blink + (noise * 2 - 1) * self.config.blink_noise)


def _head_values(device: torch.device) -> Tensor:
    return torch.tensor([int(region) for region in HEAD_REGIONS], device=device)


def _as_batch(image: Float[Tensor, "height width 3"]) -> Float[Tensor, "1 3 height width"]:
    return image.permute(2, 0, 1)[None]


def _as_patches(rgb: Float[Tensor, "rays 3"], side: int) -> Float[Tensor, "batch 3 side side"]:
    return rgb.view(-1, side, side, 3).permute(0, 3, 1, 2)


def _distance(head: dict[str, Tensor]) -> Float[Tensor, "rays 1"]:
    """Expected distance along each ray of what is seen, without what is seen through it."""
    return head["depth"] / head["accumulation"].clamp(min=1e-6)
