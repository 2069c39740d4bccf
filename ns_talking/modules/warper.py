"""Where in a reference picture to look, beside where a point is projected to: lips and jaw have moved since."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

LIMIT = 10 / 512
"""Largest offset as a share of the picture's width: the papers' 10 px of 512."""


@dataclass
class WarperConfig(InstantiateConfig):
    """Sizes of the warper."""

    _target: type = field(default_factory=lambda: Warper)
    width: int = 128
    """Channels of the first layer."""
    narrow: int = 32
    """Channels of the second layer."""


class Warper(nn.Module):
    """Three layers from what is known of a point and a reference to an offset in pixels.

    The first layer is a sum over its inputs, so that what all references or all points of a frame share is multiplied
    once; that changes nothing but the time.

    Source:
        AE-NeRF (Li et al., AAAI 2024), the audio-aware warper: point, audio codes and directions of target and
        reference; widths and limit are those of DFRF's released code. `sees` "feature" is DFRF's own: point, target
        code and the feature at the projection, both without gradients. Ours is the start: DFRF's, where the weights of
        all three layers spread by 0.001, leaves gradients below what Adam takes for zero, and nothing but the last bias
        is learned in the first thousands of steps.

    Args:
        config: Sizes.
        sees: What it decides by.
        position_dim: Channels of an encoded point.
        direction_dim: Channels of an encoded direction.
        code_dim: Channels of an audio code.
        feature_dim: Channels of a reference feature.
    """

    def __init__(
        self,
        config: WarperConfig,
        sees: Literal["audio", "feature"],
        position_dim: int,
        direction_dim: int,
        code_dim: int,
        feature_dim: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.sees = sees
        self.of_point = nn.Linear(position_dim, config.width)
        self.of_code = nn.Linear(code_dim, config.width, bias=False)
        if sees == "audio":
            self.of_direction = nn.Linear(direction_dim, config.width, bias=False)
            self.of_reference_code = nn.Linear(code_dim, config.width, bias=False)
            self.of_reference_direction = nn.Linear(direction_dim, config.width, bias=False)
        else:
            self.of_feature = nn.Linear(feature_dim, config.width, bias=False)
        self.second = nn.Linear(config.width, config.narrow)
        self.last = nn.Linear(config.narrow, 2)
        self.reset()

    def reset(self) -> None:
        """Begin anew: nothing moves, and the last layer alone keeps it so."""
        for layer in self.children():
            assert isinstance(layer, nn.Linear)
            layer.reset_parameters()
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def by_audio(
        self,
        points: Float[Tensor, "samples position"],
        directions: Float[Tensor, "samples direction"],
        code: Float[Tensor, "frames code"],
        frame_row: Int[Tensor, " samples"],
        reference_directions: Float[Tensor, "samples references direction"],
        reference_codes: Float[Tensor, "references code"],
        width_px: float,
    ) -> Float[Tensor, "samples references 2"]:
        """Decide by sound and directions.

        Args:
            points: Encoded points.
            directions: Encoded viewing directions.
            code: Audio code of each distinct frame that is drawn.
            frame_row: Frame of each sample.
            reference_directions: Encoded directions from each reference's camera to each point.
            reference_codes: Audio code of each reference.
            width_px: Width of the pictures.

        Returns:
            Offsets to the right and down, in px.
        """
        shared = self.of_point(points) + self.of_direction(directions) + self.of_code(code)[frame_row]
        hidden = shared[:, None] + self.of_reference_code(reference_codes)
        return self._offset(hidden + self.of_reference_direction(reference_directions), width_px)

    def by_feature(
        self,
        points: Float[Tensor, "samples position"],
        code: Float[Tensor, "frames code"],
        frame_row: Int[Tensor, " samples"],
        features: Float[Tensor, "samples references channels"],
        width_px: float,
    ) -> Float[Tensor, "samples references 2"]:
        """Decide by sound and by what lies at the projections; arguments as above."""
        shared = self.of_point(points) + self.of_code(code.detach())[frame_row]
        return self._offset(shared[:, None] + self.of_feature(features.detach()), width_px)

    def _offset(self, hidden: Tensor, width_px: float) -> Tensor:
        limit = LIMIT * width_px
        return self.last(self.second(hidden.relu()).relu()).float().clamp(-limit, limit)


def unmoved(num_samples: int, num_references: int, like: Tensor) -> Float[Tensor, "samples references 2"]:
    """Give the offsets where there is no warper."""
    return torch.zeros(num_samples, num_references, 2, device=like.device)
