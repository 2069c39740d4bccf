"""Region attention: how much each point in space listens to the audio code and to the eyes' opening."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ns_talking.kernels.region_gate import region_gate
from ns_talking.modules.mlp import MLP


class AudioRegionAttention(nn.Module):
    """Weigh each channel of the audio code by a vector read from the point's own features.

    Source:
        ER-NeRF (Li et al., ICCV 2023), section 3.3, equations 7 to 10: an external attention that reduces to the
        Hadamard product of the code with an MLP of the spatial feature. The MLP's output is unbounded.
    """

    def __init__(self, feature_dim: int, code_dim: int, hidden_dim: int = 64) -> None:
        super().__init__()
        self.mlp = MLP(feature_dim, hidden_dim, code_dim)

    def forward(
        self,
        features: Float[Tensor, "samples channels"],
        code: Float[Tensor, "frames code"],
        row: Int[Tensor, " samples"],
    ) -> tuple[Float[Tensor, "samples code"], Float[Tensor, " samples"]]:
        """Make the region-aware audio code of every sample.

        Args:
            features: Spatial features.
            code: Audio code of each distinct frame.
            row: Which frame each sample belongs to.

        Returns:
            The weighed code, and the strength of the attention (the vector's norm), which shows the region that
            follows the sound.
        """
        return region_gate(self.mlp(features), code, row)


class EyeRegionAttention(nn.Module):
    """Weigh the blink value by how much the point belongs to the eyes, in (0, 1).

    Source:
        ER-NeRF, section 3.3.
    """

    def __init__(self, feature_dim: int, hidden_dim: int = 16) -> None:
        super().__init__()
        self.mlp = MLP(feature_dim, hidden_dim, 1)

    def forward(
        self,
        features: Float[Tensor, "samples channels"],
        blink: Float[Tensor, " frames"],
        row: Int[Tensor, " samples"],
    ) -> tuple[Float[Tensor, "samples 1"], Float[Tensor, " samples"]]:
        """Make the region-aware blink value of every sample.

        Returns:
            The weighed value, and the attention itself.
        """
        attention = torch.sigmoid(self.mlp(features))
        return attention * blink.index_select(0, row)[:, None], attention[:, 0]
