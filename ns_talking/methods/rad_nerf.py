"""RAD-NeRF: a grid in space, a grid of what is heard, and a pseudo-3-D torso, with their training configurations.

Source:
    Tang, Wang, Zhou, Chen, He, Hu, Liu, Zeng, Wang: "Real-time Neural Radiance Talking Portrait Synthesis via
    Audio-spatial Decomposition", arXiv:2211.12368, 2022. Widths, schedule and weights are those of the released
    training. Differs from it: LPIPS sees images scaled as its network was trained, and no average of the weights is
    kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from jaxtyping import Float
from nerfstudio.plugins.types import MethodSpecification
from torch import Tensor
from torch.nn import Parameter

from ns_talking import losses
from ns_talking.data.eye_area import EyeAreas
from ns_talking.data.pixel_samplers import AlternatingPixelSamplerConfig
from ns_talking.driving.track import Condition, DrivingTrack
from ns_talking.fields.ambient_grid import AmbientGridField, AmbientGridFieldConfig
from ns_talking.fields.euler_torso import EulerTorsoField, EulerTorsoFieldConfig
from ns_talking.methods.grid import GridPortraitModel, GridPortraitModelConfig, parameters_of
from ns_talking.methods.presets import OptimizerRates, cpu_config, gpu_config, wants_gpu_preset
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.modules.audio_encoder import AudioEncoderConfig
from ns_talking.pipelines.phases import PhasesConfig
from ns_talking.pipelines.schedules import PhaseDecayConfig
from ns_talking.rendering.occupancy import OccupancyGridConfig
from ns_talking.utils.compat import allow_scalars_in_checkpoints
from ns_talking.utils.device import upload

_CODE_DIM = 64


@dataclass
class RADNeRFModelConfig(GridPortraitModelConfig):
    """Options of RAD-NeRF."""

    _target: type = field(default_factory=lambda: RADNeRFModel)
    head: AmbientGridFieldConfig = field(default_factory=AmbientGridFieldConfig)
    """Grids and decoders of the head."""
    audio_code: AudioCodeConfig = field(
        default_factory=lambda: AudioCodeConfig(encoder=AudioEncoderConfig(code_dim=_CODE_DIM))
    )
    torso: EulerTorsoFieldConfig = field(default_factory=EulerTorsoFieldConfig)
    attention_weight: float = 0.1
    blink_noise: float = 0.0
    update_occupancy_in_lips: bool = False


class RADNeRFModel(GridPortraitModel):
    """RAD-NeRF's head over its torso."""

    config: RADNeRFModelConfig
    head: AmbientGridField
    torso: EulerTorsoField

    def populate_modules(self) -> None:
        """Build the field, and measure the eyes of the clip."""
        super().populate_modules()
        self.eye_areas = EyeAreas.of(self.portrait)
        self._eyes: tuple[DrivingTrack, Tensor] | None = None

    def eye_control(self, condition: Condition) -> Float[Tensor, " frames"]:
        """Give the area of the eyes in percent of the image: as in the clip, unless another blink is asked for."""
        device = condition.blink.device
        if self._eyes is None or self._eyes[0] is not self.track or self._eyes[1].device != device:
            # Of all frames at once: to ask for a few would wait for a GPU to tell which.
            self._eyes = self.track, upload(self.eye_areas.of_frames(self.track.source_frames), device)
        return self.eye_areas.at(self._eyes[1][condition.frame], condition.blink)

    def head_groups(self) -> dict[str, list[Parameter]]:
        """Group grids and decoders."""
        head = self.head
        return {
            "grids": [head.space, head.ambient],
            "decoders": parameters_of(head.ambient_mlp, head.density_mlp, head.colour_mlp),
        }

    def head_losses(self, outputs: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, Tensor]:
        """Keep the ambient coordinates at zero outside the lower face, where nothing should follow the sound."""
        outside = losses.outside_face(outputs["audio_attention"], batch["in_lower_face"])
        return {"ambient": self.config.attention_weight * self.phase.strength * outside}

    def torso_losses(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Keep the torso from being half transparent."""
        return {"torso_entropy": self.config.entropy_weight * losses.binary_entropy(outputs["torso_alpha"])}


allow_scalars_in_checkpoints()

_RATES = OptimizerRates(
    grids={"grids": 5e-3, "torso_grid": 5e-3},
    networks={"decoders": 5e-4, "audio_encoder": 5e-4, "audio_attention": 2.5e-3, "lip_code": 2.5e-3, "torso": 5e-4},
    grid_decay=0.0,
    decaying=(),
    beta=0.9,
    eps=1e-15,
)
_CPU_RATES = replace(
    _RATES,
    grids={name: 2 * rate for name, rate in _RATES.grids.items()},
    networks={name: 2 * rate for name, rate in _RATES.networks.items()},
)
_PHASES = PhasesConfig(head=200_000, lips=50_000, torso=200_000)
_DECAY = PhaseDecayConfig(head_final=0.1, lips_initial=0.091, lips_final=0.05, torso_final=0.1)
_METHOD = "rad-nerf"
_CPU_ATTENTION_WEIGHT = 0.1 * 2_150 / 200_000
"""The weight grows over the head's phase; this lets it grow as much in a step as it does in the paper's."""


def _cpu_model() -> RADNeRFModelConfig:
    """Suit the model to 128 px and 2,500 steps, as er-nerf's preset does.

    With the paper's learning rates instead of twice as large ones, the mouth of the procedural head was 2.5 dB worse on
    validation frames after 400 steps; without a mean of the gradient 2.3 dB. Larger grids changed nothing; an audio
    grid that begins with slopes (values up to 0.1) raised the mouth by 0.5 dB and the lips' distance by 0.2 px.

    Two things keep the ambient network from going deaf (`AudioCodeConfig.from_mean_sound` and the weight of its loss),
    as it did on a real clip: after 2,500 steps of it, no unit of its first layer answered to any of 41 sounds. The loss
    on the ambient coordinates holds them at zero from outside the lower face, long before the features of a place tell
    the face from the rest; with it, within 60 of 300 steps coordinates fell from 0.03 to 0.002 in the mouth as outside.
    The way there is the part that all codes share: it grew to five times the spread of the codes, and the network has
    no biases that could answer it. With this loss alone, a shared part left 0 to 11 of 64 units after 600 steps (four
    seeds), codes of mean 0 left all 64. After 300 steps of 96 px, what the own sound gives the mouth over another
    frame's was 0.10 dB on training frames with both; with 6 times larger first weights of the sound 0.05 dB, and with
    20 times larger ones the head was late. After 1,000 steps of 128 px of the real clip all 64 answered; after
    all 2,500 the lips of the held-out part were in step with 0.61 to 0.63 (three seeds), and -0.03 to -0.01 with the
    sound of two seconds earlier.
    """
    return RADNeRFModelConfig(
        use_face_surface=True,
        distortion_weight=2e-3,
        head=AmbientGridFieldConfig(num_levels=8, finest_resolution=256),
        occupancy=OccupancyGridConfig(resolution=64, update_interval=32, update_parts=4),
        audio_code=AudioCodeConfig(
            encoder=AudioEncoderConfig(code_dim=_CODE_DIM), use_lip_shape=True, from_mean_sound=True
        ),
        attention_weight=_CPU_ATTENTION_WEIGHT,
        torso=EulerTorsoFieldConfig(appearance_dim=0, finest_resolution=128),
        appearance_dim=0,
        use_lpips=False,
    )


rad_nerf = MethodSpecification(
    config=gpu_config(_METHOD, RADNeRFModelConfig(), _RATES, _PHASES, _DECAY, AlternatingPixelSamplerConfig())
    if wants_gpu_preset()
    else cpu_config(_METHOD, _cpu_model(), _CPU_RATES),
    description="RAD-NeRF: a spatial and an audio grid (2022), head, lips and torso in one run.",
)
