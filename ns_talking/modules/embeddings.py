"""Learned codes that hold what neither sound nor pose explains of a frame."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class AppearanceCodes(nn.Module):
    """One learned vector per training frame, for exposure and other changes that drive nothing.

    Source:
        RAD-NeRF and ER-NeRF's individual codes: 10,000 rows, drawn from 0.1 N(0, 1); the first one renders new
        frames.

    Args:
        dim: Channels of a code; 0 switches the codes off.
        num_codes: Rows of the table; longer clips share rows.
    """

    def __init__(self, dim: int, num_codes: int = 10_000) -> None:
        super().__init__()
        self.codes = nn.Parameter(0.1 * torch.randn(num_codes, dim))

    def forward(self, frame: Int[Tensor, " frames"]) -> Float[Tensor, "frames channels"]:
        """Look up the codes of training frames; while not training every frame gets the first one."""
        if not self.training:
            frame = torch.zeros_like(frame)
        return self.codes[frame % len(self.codes)]


class FrameLatents(nn.Module):
    """One learned vector per training frame for what no pose explains; zero for frames that were never seen.

    In training a frame's vector is dropped to zero every other time, so that zero is a vector the rest was trained on.
    Our design, in place of the time of a frame, which means nothing under other sound.

    Args:
        dim: Channels; 0 switches them off.
        num_frames: Frames of the clip.
        dropout: Chance of a frame's vector to be zero in training.
    """

    def __init__(self, dim: int, num_frames: int, dropout: float) -> None:
        super().__init__()
        self.codes = nn.Parameter(0.01 * torch.randn(num_frames, dim))
        self.dropout = dropout

    def forward(self, frame: Int[Tensor, " frames"], seed: int) -> Float[Tensor, "frames channels"]:
        """Look up the vectors of training frames; what is dropped is a function of the seed."""
        codes = self.codes[frame % len(self.codes)]
        if not self.training:
            return torch.zeros_like(codes)
        generator = torch.Generator(codes.device).manual_seed(seed)
        draws = torch.rand(len(codes), 1, generator=generator, device=codes.device)
        return codes * (draws >= self.dropout)
