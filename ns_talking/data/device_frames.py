"""Training frames that stay on the GPU as bytes, so that a step copies nothing but which pixels it wants."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.utils.device import upload

_BYTES_PER_PIXEL = 8


class DeviceFrames:
    """Frames of one split on a device: 8 bytes per pixel, each frame copied when it is first asked for.

    Args:
        dataset: The split.
        device: Where the frames shall live.
    """

    def __init__(self, dataset: PortraitDataset, device: torch.device | str) -> None:
        self._dataset = dataset
        self._width = dataset.width
        self._words = torch.empty(len(dataset), dataset.width * dataset.height, dtype=torch.int64, device=device)
        self._background = upload(dataset.background.reshape(-1, 3), device)
        self._here = np.zeros(len(dataset), dtype=bool)

    def missing(self, rows: list[int]) -> list[int]:
        """List which of these frames have not been copied yet."""
        return [row for row in rows if not self._here[row]]

    def pixels(
        self, rows: list[int], indices: Int64[Tensor, "rays 3"]
    ) -> tuple[UInt8[Tensor, "rays 8"], UInt8[Tensor, "rays 3"]]:
        """Gather packed pixels and the plate behind them, on the device.

        Args:
            rows: Distinct frames of the pixels.
            indices: Frame, row and column of every pixel, on the device.
        """
        for row in self.missing(rows):
            self._words[row].copy_(upload(self._dataset.frame(row).pixels.view(np.int64), self._words.device))
            self._here[row] = True
        flat = indices[:, 1] * self._width + indices[:, 2]
        words = self._words[indices[:, 0], flat]
        return words.view(torch.uint8).view(-1, _BYTES_PER_PIXEL), self._background[flat]


def fit_on_gpu(dataset: PortraitDataset, device: torch.device | str, share: float) -> bool:
    """Tell whether all frames of a split fit into a share of the GPU's free memory; on a CPU they never need to."""
    if torch.device(device).type != "cuda":
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return len(dataset) * dataset.width * dataset.height * _BYTES_PER_PIXEL <= share * free_bytes
