"""The weights that rendering needs, alone: what the papers' "model size" counts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ns_talking.methods.base import PortraitModel

_LEFT_OUT = ("occupancy.density", "torso.", "device_indicator_param", "audio_code.rest_")


def head_weights(model: PortraitModel) -> dict[str, Tensor]:
    """Collect the head's parameters and its occupancy as a bit field, without the torso and the optimiser.

    Source:
        ER-NeRF's published 2.51 MB is a checkpoint of exactly this: weights, 10,000 appearance codes, 256 KiB of
        bits.

    The mouth's rest is ours and left out: the field is the papers'.

    Args:
        model: A trained model with an occupancy grid.
    """
    state = {
        name: value
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor) and not name.startswith(_LEFT_OUT)
    }
    occupied = state.pop("occupancy.occupied").cpu().numpy()
    state["occupancy.bits"] = torch.from_numpy(np.packbits(occupied.reshape(-1)))
    return state
