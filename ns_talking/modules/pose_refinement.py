"""Head poses that go on moving while the head is trained: Nerfstudio's camera optimiser, one row per frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.camera_optimizers import CameraOptimizer, CameraOptimizerConfig
from torch import Tensor

RefinementMode = Literal["off", "SO3xR3", "SE3"]


@dataclass
class PoseRefinementConfig(CameraOptimizerConfig):
    """Nerfstudio's options, as they suit a tracked head."""

    _target: type = field(default_factory=lambda: PoseRefinement)


class PoseRefinement(CameraOptimizer):
    """Turns and shifts the rays of every training frame by what brings its picture closer.

    Tracked poses are off by a fraction of a pixel, each frame by another one, which blurs what the field learns. Only
    training sees the refined poses; a held-out frame keeps its own, so penalties hold the mean of the corrections near
    zero.

    Args:
        config: How poses may change.
        num_frames: Frames of the clip.
        device: Where the corrections live.
    """

    def __init__(self, config: CameraOptimizerConfig, num_frames: int, device: torch.device | str) -> None:
        super().__init__(config, num_frames, device)

    @property
    def is_on(self) -> bool:
        """Whether poses change at all."""
        return self.config.mode != "off"

    def refined(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        frame: Int[Tensor, " frames"],
        row: Int[Tensor, " rays"],
    ) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 3"]]:
        """Correct rays as Nerfstudio does: directions turn about their origins, origins shift in the world.

        Args:
            origins: In world units.
            directions: Unit vectors.
            frame: Index in the clip of each distinct frame.
            row: Which of them each ray belongs to.
        """
        correction = self(frame)[row]
        turned = (correction[:, :, :3] @ directions[:, :, None])[:, :, 0]
        return origins + correction[:, :, 3], turned
