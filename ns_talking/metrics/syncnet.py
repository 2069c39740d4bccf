"""SyncNet: embeds 0.2 s of sound and of a face so that they are near when they belong together.

Source:
    Chung and Zisserman, "Out of time: automated lip sync in the wild", ACCV workshops 2016. The layout is that of the
    published weights (`syncnet_v2.model`), whose network is deeper than the paper's.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ns_talking.metrics.weights import SYNCNET

FACE_PX = 224
NUM_FRAMES = 5
NUM_STEPS = 20
"""Steps of MFCC at 100 Hz that last as long as five frames."""


class SyncNet(nn.Module):
    """Two streams with an embedding of 1024 numbers each.

    Attribute names are those of the published weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_conv2d(1, 64, 3, padding=1),
            nn.MaxPool2d((1, 1), (1, 1)),
            *_conv2d(64, 192, 3, padding=1),
            nn.MaxPool2d((3, 3), (1, 2)),
            *_conv2d(192, 384, 3, padding=1),
            *_conv2d(384, 256, 3, padding=1),
            *_conv2d(256, 256, 3, padding=1),
            nn.MaxPool2d((3, 3), (2, 2)),
            *_conv2d(256, 512, (5, 4)),
        )
        self.netfcaud = _head()
        self.netfclip = _head()
        self.netcnnlip = nn.Sequential(
            *_conv3d(3, 96, (5, 7, 7), stride=(1, 2, 2)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(96, 256, (1, 5, 5), stride=(1, 2, 2), padding=(0, 1, 1)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1)),
            *_conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1)),
            *_conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1)),
            *_conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(256, 512, (1, 6, 6)),
        )

    def embed_sound(self, coefficients: Float[Tensor, "batch 13 20"]) -> Float[Tensor, "batch 1024"]:
        """Embed windows of MFCC."""
        return self.netfcaud(self.netcnnaud(coefficients[:, None]).flatten(1))

    def embed_face(self, faces: Float[Tensor, "batch 5 224 224 3"]) -> Float[Tensor, "batch 1024"]:
        """Embed windows of five faces: BGR, 0 to 255."""
        return self.netfclip(self.netcnnlip(faces.permute(0, 4, 1, 2, 3)).flatten(1))


def load_syncnet(path: Path, device: torch.device) -> SyncNet:
    """Load the published weights.

    Raises:
        ValueError: When the file holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network = SyncNet()
        missing, unexpected = network.load_state_dict(state, strict=False)
    except (pickle.UnpicklingError, RuntimeError, AttributeError, TypeError, EOFError, IndexError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} does not hold SyncNet's weights ({reason}). Get {SYNCNET.name} again.") from error
    # Weights saved by old versions of PyTorch count no batches.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(
            f"{path} does not hold SyncNet's weights: {len(missing)} parameters are missing and {len(unexpected)} are "
            f"left over. Get {SYNCNET.name} again."
        )
    return network.eval().requires_grad_(False).to(device)


def _conv2d(inputs: int, outputs: int, kernel: int | tuple[int, int], padding: int = 0) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()]


def _conv3d(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int] = (1, 1, 1),
    padding: tuple[int, int, int] = (0, 0, 0),
) -> list[nn.Module]:
    return [nn.Conv3d(inputs, outputs, kernel, stride, padding), nn.BatchNorm3d(outputs), nn.ReLU()]


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))
