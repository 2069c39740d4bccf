"""The trainable audio encoder: frozen features of eight neighbouring frames in, one audio code per frame out."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn


@dataclass
class AudioEncoderConfig(InstantiateConfig):
    """The AudioNet of AD-NeRF followed by its temporal attention."""

    _target: type = field(default_factory=lambda: AudioEncoder)
    code_dim: int = 32
    """Channels of the audio code; ER-NeRF 32, RAD-NeRF 64."""


class AudioEncoder(nn.Module):
    """Encode windows of frozen audio features and blend the codes of eight neighbouring frames.

    Source:
        AD-NeRF (Guo et al., ICCV 2021), section 3.1; widths of ER-NeRF (Li et al., ICCV 2023).

    Args:
        config: Width of the code.
        feature_channels: Channels of the frozen features, for example 80 for mel, 29 for DeepSpeech.
        context: Neighbouring frames that are blended.
    """

    def __init__(self, config: AudioEncoderConfig, feature_channels: int, context: int = 8) -> None:
        super().__init__()
        self.config = config
        self.window_encoder = WindowEncoder(feature_channels, config.code_dim)
        self.temporal_attention = TemporalAttention(config.code_dim, context)

    def forward(self, audio: Float[Tensor, "frames context channels window"]) -> Float[Tensor, "frames code"]:
        """Encode the audio that surrounds each frame.

        Args:
            audio: Normalised features, one window for each neighbouring frame, in time order.

        Returns:
            One audio code per frame.
        """
        num_frames, context = audio.shape[:2]
        codes = self.window_encoder(audio.flatten(0, 1))
        return self.temporal_attention(codes.view(num_frames, context, -1))


class WindowEncoder(nn.Module):
    """Four strided convolutions over time and two linear layers: one window of features to one code.

    Source:
        AD-NeRF's AudioNet. 30,720 parameters for 29 channels and a code of 32.
    """

    def __init__(self, feature_channels: int, code_dim: int) -> None:
        super().__init__()
        widths = (feature_channels, 32, 32, 64, 64)
        layers: list[nn.Module] = []
        for in_channels, out_channels in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Conv1d(in_channels, out_channels, 3, stride=2, padding=1), nn.LeakyReLU(0.02)]
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.02), nn.Linear(64, code_dim))

    def forward(self, window: Float[Tensor, "batch channels window"]) -> Float[Tensor, "batch code"]:
        """Encode windows of up to 16 steps, which the strides reduce to one."""
        return self.head(self.convolutions(window).mean(dim=-1))


class TemporalAttention(nn.Module):
    """Weigh the codes of neighbouring frames against each other, against jitter from frame to frame.

    Source:
        AD-NeRF's AudioAttNet. 2,149 parameters for a code of 32 and eight frames.
    """

    def __init__(self, code_dim: int, context: int) -> None:
        super().__init__()
        widths = (code_dim, 16, 8, 4, 2, 1)
        layers: list[nn.Module] = []
        for in_channels, out_channels in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Conv1d(in_channels, out_channels, 3, padding=1), nn.LeakyReLU(0.02)]
        self.convolutions = nn.Sequential(*layers)
        self.scores = nn.Linear(context, context)

    def forward(self, codes: Float[Tensor, "frames context code"]) -> Float[Tensor, "frames code"]:
        """Blend each frame's neighbours with softmax weights."""
        scores = self.scores(self.convolutions(codes.transpose(1, 2)).squeeze(1))
        return torch.einsum("fk,fkc->fc", scores.softmax(dim=-1), codes)
