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
from ns_talking.utils.device import upload
from ns_talking.utils.mapped import release


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
    lip_emphasis: float = 1.0
    """Factor on the way of the lips from their rest, after training: 1 asks for the shape that the sound predicts. A
    field of few steps opens lips less far than it is told to. No shape goes beyond what the clip showed."""
    from_mean_sound: bool = False
    """Whether the code is measured from the mean code of sounds from all over the clip, and from that of the mean lip
    shape; our design. For a network without biases the part that all codes share is one: where that switches a ReLU
    off, it is off for every sound, and no gradient brings it back. Codes whose mean is 0 share nothing."""

    def __setstate__(self, state: dict[str, Any]) -> None:  # Any: the fields.
        """Read configs from before codes could be measured from the mean sound."""
        self.__dict__.update({"from_mean_sound": False, **state})


class AudioCode(nn.Module):
    """Normalise features with the statistics of the training frames, then encode them.

    The statistics, the lip-shape fit and the identity of the feature extractor travel in the checkpoint: sound that
    another extractor read would drive the face wrongly.

    Args:
        config: Its parts.
        feature_channels: Channels of the frozen features.
        identity: Which extractor made the features that the portrait is trained with.
        steps_per_frame: Feature steps from the window of one frame to that of the next; None where that is no whole
            number, or not known: then no lip shape can be fitted.
        num_lip_points: Points of a lip shape.
        num_frames: Frames of the clip.
        fps: Frames per second.
        context: Audio windows per frame.
        window: Feature steps per window.
    """

    ADDED_STATE = ("rest_audio", "rest_shape")
    """State that checkpoints of version 0.1.0 lack; it can be measured on the dataset at any time."""

    def __init__(
        self,
        config: AudioCodeConfig,
        feature_channels: int,
        identity: str,
        steps_per_frame: int | None,
        num_lip_points: int,
        num_frames: int,
        fps: float = 25.0,
        context: int = 8,
        window: int = 16,
    ) -> None:
        super().__init__()
        self.config = config
        self.identity = identity
        self.steps_per_frame = steps_per_frame
        self.voice: tuple[Tensor, Tensor] | None = None
        """Factor and offset that bring the driving sound's features to the clip's voice; None leaves them alone."""
        self.register_buffer("mean", torch.zeros(feature_channels))
        self.register_buffer("scale", torch.ones(feature_channels))
        self.mean: Tensor
        self.scale: Tensor
        # Not a number until the mouth's rest was measured.
        self.register_buffer("rest_audio", torch.full((context, feature_channels, window), torch.nan))
        self.rest_audio: Tensor
        if config.from_mean_sound:
            self.register_buffer("mean_sounds", torch.zeros(_NUM_MEAN_SOUNDS, context, feature_channels, window))
            self.mean_sounds: Tensor
        self._known_mean_code: tuple[list[Any], Tensor] | None = None
        rate_hz = fps * steps_per_frame if config.use_lip_shape and steps_per_frame is not None else None
        self.encoder = None
        if config.use_encoder or rate_hz is None:
            self.encoder = config.encoder.setup(feature_channels=feature_channels)
        self.lip_fit: LipShapeFit | None = None
        if rate_hz is not None:
            num_components = config.lip_shape.num_components
            self.lip_fit = config.lip_shape.setup(
                feature_channels=feature_channels, num_points=num_lip_points, rate_hz=rate_hz
            )
            # The mean lip shape is 0 in components, so without a bias its code is 0.
            self.lip_code = nn.Linear(num_components, self.code_dim, bias=not config.from_mean_sound)
            self.register_buffer("rest_shape", torch.full((num_components,), torch.nan))
            self.rest_shape: Tensor
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
    def voice_match(self, values: Float[np.ndarray, "steps channels"] | None) -> tuple[Tensor, Tensor] | None:
        """Measure what brings another voice or microphone to the level and spread of the clip's, channel by channel.

        Without this, foreign sound lies outside what the portrait was trained on and moves the lips less. Sound
        without content (silence, a constant) is left as it is. Our design.

        Args:
            values: Features of the whole sound, perhaps a memory map; None where only cut windows exist.

        Returns:
            What `voice` takes.
        """
        if values is None or not len(values):
            return None
        mean, spread = (torch.from_numpy(part).to(self.mean) for part in _statistics(values))
        if float((spread * self.scale).mean()) < _NO_CONTENT:
            return None
        factor = (1 / (self.scale * spread.clamp(min=1e-6))).clamp(0.5, 2.0)
        return (factor[:, None], (self.mean - mean * factor)[:, None])

    @property
    def knows_rest(self) -> bool:
        """Whether the mouth's rest was measured."""
        return bool(torch.isfinite(self.rest_audio).all())

    @torch.no_grad()
    def set_rest(
        self,
        audio: Float[Tensor, "frames context channels window"],
        shapes: Float[Tensor, "frames points 2"],
        inner_lips: Bool[Tensor, " points"],
    ) -> None:
        """Learn what the mouth at rest sounds and looks like.

        Of sound, the one frame is kept that is nearest to the mean of all: the mean itself sounds like nothing.

        Args:
            audio: Raw features of frames that show the mouth at rest.
            shapes: Their tracked lip shapes.
            inner_lips: Which points lie on the inner lips.
        """
        normal = ((audio - self.mean[:, None]) * self.scale[:, None]).flatten(1)
        self.rest_audio.copy_(audio[(normal - normal.mean(dim=0)).square().sum(dim=1).argmin()])
        if self.lip_fit is not None:
            self.rest_shape.copy_(
                self.lip_fit.components(shapes.to(self.mean), inner_lips.to(self.mean.device)).mean(0)
            )

    @property
    def num_mean_sounds(self) -> int:
        """How many sounds `set_mean_sounds` takes."""
        return len(self.mean_sounds) if self.config.from_mean_sound else 0

    @torch.no_grad()
    def set_mean_sounds(self, audio: Float[Tensor, "sounds context channels window"]) -> None:
        """Learn the raw features of the sounds whose mean code the code is measured from."""
        self.mean_sounds.copy_(audio)

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
        voice: Float[Tensor, " frames"] | None = None,
    ) -> Float[Tensor, "frames code"]:
        """Encode raw features, one audio code per frame.

        Args:
            audio: Features around each frame.
            frame: Index of each frame in the clip; read in training only.
            seed: Of the draws in training.
            voice: Voice activity of each frame, in [0, 1]: towards 0 the code becomes that of the mouth at rest. None,
                and 1, leave it to the sound.
        """
        if self.voice is not None:
            factor, offset = self.voice
            audio = audio * factor + offset
        shape = None
        if self.lip_fit is not None:
            shape = self._training_shape(frame, seed) if self.training else self._emphasised(audio)
        code = self._code(audio, shape)
        if self.training or voice is None or bool((voice == 1).all()):
            return code
        rest = self._code(self.rest_audio[None], None if self.lip_fit is None else self.rest_shape[None])
        return torch.lerp(rest, code, voice[:, None])

    def _code(
        self,
        audio: Float[Tensor, "frames context channels window"],
        shape: Float[Tensor, "frames components"] | None,
    ) -> Float[Tensor, "frames code"]:
        code = 0
        if self.encoder is not None:
            code = self._encoded(audio)
            if self.config.from_mean_sound:
                code = code - self._mean_code()
        if shape is not None:
            code = code + self.lip_code(shape)
        assert isinstance(code, Tensor)
        return code

    def _mean_code(self) -> Float[Tensor, " code"]:
        """Encode the mean sounds; where nothing learns, only after something has changed."""
        assert self.encoder is not None
        if torch.is_grad_enabled():
            return self._encoded(self.mean_sounds).mean(dim=0)
        made_of = [self.mean, self.scale, self.mean_sounds, *self.encoder.parameters()]
        known_by = [(tensor.data_ptr(), tensor.device, tensor._version) for tensor in made_of]
        if self._known_mean_code is None or self._known_mean_code[0] != known_by:
            self._known_mean_code = known_by, self._encoded(self.mean_sounds).mean(dim=0)
        return self._known_mean_code[1]

    def _encoded(self, audio: Float[Tensor, "frames context channels window"]) -> Float[Tensor, "frames code"]:
        assert self.encoder is not None
        return self.encoder((audio - self.mean[:, None]) * self.scale[:, None])

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

    def _emphasised(self, audio: Float[Tensor, "frames context channels window"]) -> Float[Tensor, "frames components"]:
        """Predict the lip shape, further from rest than it should look where the field falls short of it."""
        assert self.lip_fit is not None
        shape = self.predict_lip_shape(audio)
        if not self.knows_rest:
            return shape
        return self.lip_fit.within_range(torch.lerp(self.rest_shape, shape, self.config.lip_emphasis))

    def _training_shape(self, frame: Int[Tensor, " frames"], seed: int) -> Float[Tensor, "frames components"]:
        """Draw tracked or predicted shapes of training frames, with noise; the draw is a function of the seed."""
        generator = torch.Generator().manual_seed(seed)
        use_tracked = upload(torch.rand(len(frame), 1, generator=generator) < self.config.tracked_share, frame.device)
        shape = torch.where(use_tracked, self.tracked[frame], self.out_of_fold[frame])
        noise = upload(torch.randn(shape.shape, generator=generator), frame.device)
        return shape + self.config.lip_noise * noise

    def get_extra_state(self) -> dict[str, str]:
        """Put the extractor's identity into the checkpoint."""
        return {"identity": self.identity}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # PyTorch's hook.
        """Keep a portrait without lip shape where it was trained without, as on cut windows in version 0.1.0."""
        # Nerfstudio loads the pipeline's own state through all modules again, with nothing for this one in it.
        concerned = f"{prefix}mean" in state_dict
        if (
            concerned
            and self.lip_fit is not None
            and not any(key.startswith(f"{prefix}lip_fit.") for key in state_dict)
        ):
            self.lip_fit = None
            del self.lip_code, self.rest_shape
        if concerned:
            for name in self.ADDED_STATE:
                if name in self._buffers:
                    state_dict.setdefault(prefix + name, getattr(self, name))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def set_extra_state(self, state: Any) -> None:  # Any: PyTorch's signature.
        """Take the extractor's identity from the checkpoint."""
        self.identity = state["identity"]


_NUM_MEAN_SOUNDS = 16
_NO_CONTENT = 0.2
"""Sound whose channels spread less than this share of the clip's says nothing."""
_STEPS_AT_ONCE = 4096


def _statistics(values: Float[np.ndarray, "steps channels"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every channel, read in parts, so that an hour of sound takes no more memory."""
    total, squares = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    starts = range(0, len(values), _STEPS_AT_ONCE)
    for start in starts:
        total += values[start : start + _STEPS_AT_ONCE].sum(axis=0, dtype=np.float64)
        release(values)
    mean = total / len(values)
    for start in starts:
        squares += np.square(values[start : start + _STEPS_AT_ONCE] - mean).sum(axis=0)
        release(values)
    return mean.astype(np.float32), np.sqrt(squares / len(values)).astype(np.float32)
