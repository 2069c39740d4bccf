"""From the raw features around a frame to the audio code that drives its face."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.modules.audio_encoder import AudioEncoderConfig
from ns_talking.modules.lip_shape_fit import LipShapeFit, LipShapeFitConfig, LipShapeTraining, join_context


@dataclass
class AudioCodeConfig(InstantiateConfig):
    """How sound becomes the code that drives the face."""

    _target: type = field(default_factory=lambda: AudioCode)
    encoder: AudioEncoderConfig = field(default_factory=AudioEncoderConfig)
    """The trainable audio encoder."""
    use_encoder: bool = True
    """Whether the trainable encoder adds to the code; without it the lip shape alone drives the face."""
    use_lip_shape: bool = False
    """Whether a lip shape that was fitted to the sound beforehand adds to the code; our design."""
    lip_shape: LipShapeFitConfig = field(default_factory=LipShapeFitConfig)
    """How lip shape is fitted to sound."""
    tracked_share: float = 0.9
    """Chance of a training frame to be driven by its tracked lip shape instead of the predicted one. Tracked shapes
    teach the field sharp, wide mouths; predicted ones what it will meet later."""
    lip_noise: float = 0.05
    """Standard deviation of the noise on the lip shape in training, in units of its first component's deviation."""


class AudioCode(nn.Module):
    """Normalise features with the statistics of the training frames, then encode them.

    The statistics, the lip-shape fit and the identity of the feature extractor travel in the checkpoint: sound that
    another extractor read would drive the face wrongly.

    Args:
        config: Its parts.
        feature_channels: Channels of the frozen features.
        identity: Which extractor made the features that the portrait is trained with.
        steps_per_frame: Feature steps from one video frame to the next; None where features come cut into windows,
            to which no lip shape can be fitted.
        num_lip_points: Points of a lip shape.
        num_frames: Frames of the clip.
    """

    def __init__(
        self,
        config: AudioCodeConfig,
        feature_channels: int,
        identity: str,
        steps_per_frame: int | None,
        num_lip_points: int,
        num_frames: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.identity = identity
        self.steps_per_frame = steps_per_frame
        self._voice: tuple[Tensor, Tensor] | None = None
        self.register_buffer("mean", torch.zeros(feature_channels))
        self.register_buffer("scale", torch.ones(feature_channels))
        self.mean: Tensor
        self.scale: Tensor
        use_lip_shape = config.use_lip_shape and steps_per_frame is not None
        self.encoder = None
        if config.use_encoder or not use_lip_shape:
            self.encoder = config.encoder.setup(feature_channels=feature_channels)
        self.lip_fit: LipShapeFit | None = None
        if use_lip_shape:
            num_components = config.lip_shape.num_components
            self.lip_fit = config.lip_shape.setup(feature_channels=feature_channels, num_points=num_lip_points)
            self.lip_code = nn.Linear(num_components, self.code_dim)
            # Needed in training alone, and a fit away.
            self.register_buffer("tracked", torch.zeros(num_frames, num_components), persistent=False)
            self.register_buffer("out_of_fold", torch.zeros(num_frames, num_components), persistent=False)
            self.tracked: Tensor
            self.out_of_fold: Tensor

    @property
    def code_dim(self) -> int:
        """Channels of the code."""
        return self.config.encoder.code_dim

    @torch.no_grad()
    def fit_statistics(self, windows: Float[Tensor, "frames channels window"]) -> None:
        """Measure mean and spread of every channel over the training frames."""
        values = windows.transpose(0, 1).flatten(1)
        self.mean.copy_(values.mean(dim=1))
        self.scale.copy_(1 / values.std(dim=1).clamp(min=1e-3))

    @torch.no_grad()
    def match_voice(self, values: Float[np.ndarray, "steps channels"] | None) -> None:
        """Bring another voice or microphone to the level and spread of the clip's, channel by channel, from now on.

        Without this, foreign sound lies outside what the portrait was trained on and moves the lips less. Sound
        without content (silence, a constant) is left as it is. Our design.

        Args:
            values: Features of the whole sound, perhaps a memory map; None goes back to features as they are.
        """
        self._voice = None
        if values is None or not len(values):
            return
        mean, spread = (torch.from_numpy(part).to(self.mean) for part in _statistics(values))
        if float((spread * self.scale).mean()) < _NO_CONTENT:
            return
        factor = (1 / (self.scale * spread.clamp(min=1e-6))).clamp(0.5, 2.0)
        self._voice = (factor[:, None], (self.mean - mean * factor)[:, None])

    def wide_windows(
        self, audio: Float[Tensor, "frames context channels window"]
    ) -> Float[Tensor, "frames channels joined"]:
        """Join a frame's context to one window, where windows overlap by known steps; else take the frame's own."""
        if self.steps_per_frame is None:
            return audio[:, audio.shape[1] // 2]
        return join_context(audio, self.steps_per_frame)

    def fit_lip_shape(
        self,
        windows: Float[Tensor, "frames channels joined"],
        frame: Int[Tensor, " frames"],
        shapes: Float[Tensor, "frames points 2"],
        inner_lips: Bool[Tensor, " points"],
    ) -> LipShapeTraining | None:
        """Fit lip shape to sound over the training frames, where the configuration wants it.

        Args:
            windows: Wide windows of raw features around the training frames, in time order.
            frame: Their indices in the clip.
            shapes: Their tracked lip shapes.
            inner_lips: Which points lie on the inner lips.
        """
        if self.lip_fit is None or self.steps_per_frame is None:
            return None
        training = self.lip_fit.fit(windows, shapes, inner_lips, self.steps_per_frame)
        self.tracked[frame] = training.tracked.to(self.tracked.device)
        self.out_of_fold[frame] = training.out_of_fold.to(self.tracked.device)
        return training

    def forward(
        self,
        audio: Float[Tensor, "frames context channels window"],
        frame: Int[Tensor, " frames"],
        seed: int = 0,
    ) -> Float[Tensor, "frames code"]:
        """Encode raw features, one audio code per frame.

        Args:
            audio: Features around each frame.
            frame: Index of each frame in the clip; read in training only.
            seed: Of the draws in training.
        """
        if self._voice is not None:
            factor, offset = self._voice
            audio = audio * factor + offset
        code = 0
        if self.encoder is not None:
            code = self.encoder((audio - self.mean[:, None]) * self.scale[:, None])
        if self.lip_fit is not None:
            shape = self._training_shape(frame, seed) if self.training else self.predict_lip_shape(audio)
            code = code + self.lip_code(shape)
        assert isinstance(code, Tensor)
        return code

    def get_param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Group the parameters that training changes, by what they are."""
        groups: dict[str, list[nn.Parameter]] = {}
        if self.encoder is not None:
            groups["audio_encoder"] = list(self.encoder.window_encoder.parameters())
            groups["audio_attention"] = list(self.encoder.temporal_attention.parameters())
        if self.lip_fit is not None:
            groups["lip_code"] = list(self.lip_code.parameters())
        return groups

    def predict_lip_shape(
        self, audio: Float[Tensor, "frames context channels window"]
    ) -> Float[Tensor, "frames components"]:
        """Predict the components of the lip shape from sound."""
        assert self.lip_fit is not None
        return self.lip_fit.predict(self.wide_windows(audio))

    def _training_shape(self, frame: Int[Tensor, " frames"], seed: int) -> Float[Tensor, "frames components"]:
        """Draw tracked or predicted shapes of training frames, with noise; the draw is a function of the seed."""
        generator = torch.Generator().manual_seed(seed)
        use_tracked = (torch.rand(len(frame), 1, generator=generator) < self.config.tracked_share).to(frame.device)
        shape = torch.where(use_tracked, self.tracked[frame], self.out_of_fold[frame])
        noise = torch.randn(shape.shape, generator=generator).to(frame.device)
        return shape + self.config.lip_noise * noise

    def get_extra_state(self) -> dict[str, str]:
        """Put the extractor's identity into the checkpoint."""
        return {"identity": self.identity}

    def set_extra_state(self, state: Any) -> None:  # Any: PyTorch's signature.
        """Take the extractor's identity from the checkpoint."""
        self.identity = state["identity"]


_NO_CONTENT = 0.2
"""Sound whose channels spread less than this share of the clip's says nothing."""
_STEPS_AT_ONCE = 65_536


def _statistics(values: Float[np.ndarray, "steps channels"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every channel, read in parts, so that an hour of sound takes no more memory."""
    parts = [values[at : at + _STEPS_AT_ONCE] for at in range(0, len(values), _STEPS_AT_ONCE)]
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / len(values)
    variance = sum(np.square(part - mean).sum(axis=0) for part in parts) / len(values)
    return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)
