"""A small convolutional network from audio windows to lip shape, and its training in seconds."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

_BATCH = 64
_RATE = 2e-3
_NOISE = 0.3
_BAND = 12
"""Widest band of channels that is hidden in a training step."""


class LipNetwork(nn.Module):
    """Two convolutions over time and two linear layers.

    Source:
        Our design.

    Args:
        channels: Channels of the audio features.
        span: Steps of a window.
        outputs: Components of the lip shape.
        stride: Steps between two positions of the first convolution, which reads twice as many.
        width: Channels inside.
    """

    def __init__(self, channels: int, span: int, outputs: int, stride: int = 4, width: int = 32) -> None:
        super().__init__()
        padding = stride // 2
        num_positions = (span + 2 * padding - 2 * stride) // stride + 1
        self.layers = nn.Sequential(
            nn.Conv1d(channels, width, kernel_size=2 * stride, stride=stride, padding=padding),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Conv1d(width, width, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(width * num_positions, 128),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(128, outputs),
        )
        self.eval()

    def forward(self, windows: Float[Tensor, "frames channels span"]) -> Float[Tensor, "frames outputs"]:
        """Predict the outputs of each window."""
        return self.layers(windows)


def train_lip_network(
    network: LipNetwork,
    windows: Float[Tensor, "frames channels span_and_margins"],
    outputs: Float[Tensor, "frames outputs"],
    train: Int[Tensor, " train"],
    importance: Float[Tensor, " outputs"],
    iterations: int,
    steps_per_frame: int,
    margin: int,
    seed: int,
) -> None:
    """Train a network from scratch, with noise, hidden bands and windows moved between the frames.

    Source:
        Our design; the hidden bands are SpecAugment's frequency masks (Park et al., 2019).

    Args:
        network: Is overwritten.
        windows: Z-scored, with `margin` steps more on either side than the network reads.
        outputs: Of unit spread.
        train: Frames to learn from.
        importance: Weight of each output in the loss.
        iterations: Training steps.
        steps_per_frame: Feature steps from one frame to the next.
        margin: Steps by which windows are moved at most.
        seed: Of the initial weights and everything random in training.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        for layer in network.layers:
            if isinstance(layer, nn.Conv1d | nn.Linear):
                layer.reset_parameters()
        network.train().requires_grad_(True)
        optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=iterations)
        usable = torch.zeros(len(windows), dtype=torch.bool)
        usable[train] = True
        for _ in range(iterations):
            inputs, targets = _batch(windows, outputs, train, usable, steps_per_frame, margin)
            loss = ((network(inputs) - targets).square() * importance).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval().requires_grad_(False)


def _batch(
    windows: Float[Tensor, "frames channels span_and_margins"],
    outputs: Float[Tensor, "frames outputs"],
    train: Int[Tensor, " train"],
    usable: Bool[Tensor, " frames"],
    steps_per_frame: int,
    margin: int,
) -> tuple[Float[Tensor, "batch channels span"], Float[Tensor, "batch outputs"]]:
    """Draw windows, all moved in time alike, with the outputs of that instant between two frames."""
    shift = int(torch.randint(-margin, margin + 1, ()))
    rows = train[torch.randint(len(train), (_BATCH,))]
    neighbours = (rows + (1 if shift > 0 else -1)).clamp(0, len(windows) - 1)
    # Where the next frame may not be seen, the window stays on its own.
    share = torch.where(usable[neighbours], abs(shift) / steps_per_frame, 0.0)[:, None]
    targets = outputs[rows] * (1 - share) + outputs[neighbours] * share
    span = windows.shape[2] - 2 * margin
    inputs = windows[rows, :, margin + shift : margin + shift + span]
    level = _NOISE * torch.randn(_BATCH, 1, 1)
    inputs = inputs + level + _NOISE * torch.randn(inputs.shape)
    first, width = int(torch.randint(windows.shape[1], ())), int(torch.randint(_BAND, ()))
    inputs[:, first : first + width] = 0
    return inputs, targets
