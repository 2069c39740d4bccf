"""Small networks through tiny-cuda-nn's fully fused one.

Weights stay as `torch.nn.Linear` keeps them; each call lays them side by side as the library does: layer after layer,
every matrix with one row per output and its rows one after the other. It pads inputs with ones to a multiple of 16
columns, for which the first matrix gets columns of zeros, and outputs to a multiple of 16, which are cut off again.

Weights, inputs and sums between layers are float16 there, whatever the inputs are: 1.5e-3 of the largest result.

Source:
    tiny-cuda-nn (Müller, 2021, BSD-3-Clause), version 1.7.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ns_talking.kernels.mlp import mlp as ours
from ns_talking.kernels.tcnn.library import asked_for_half, call, check_device, library, make

_WIDTHS = (16, 32, 64, 128)
_ALIGNMENT = 16


def mlp(inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """See `ns_talking.kernels.mlp.mlp`. Networks that the library has no kernel for are left to the definition."""
    check_device(inputs)
    if not fits(weights) or not len(inputs):
        return ours(inputs, weights)
    num_inputs, width, num_outputs = weights[0].shape[1], weights[0].shape[0], weights[-1].shape[0]
    module = _module(num_inputs, width, len(weights) - 1, num_outputs, inputs.device)
    outputs = call(module, _side_by_side(weights), inputs.float())
    return outputs.half() if asked_for_half(inputs) else outputs.to(inputs.dtype)


def fits(weights: Sequence[Tensor]) -> bool:
    """Tell whether all hidden layers are equally wide, and as wide as the library has kernels for."""
    widths = {weight.shape[0] for weight in weights[:-1]}
    return len(widths) == 1 and widths <= set(_WIDTHS)


def _side_by_side(weights: Sequence[Tensor]) -> Tensor:
    first, *hidden, last = weights
    first = F.pad(first, (0, -first.shape[1] % _ALIGNMENT))
    last = F.pad(last, (0, 0, 0, -last.shape[0] % _ALIGNMENT))
    return torch.cat([weight.float().flatten() for weight in (first, *hidden, last)])


@functools.lru_cache(maxsize=32)
def _module(num_inputs: int, width: int, num_hidden: int, num_outputs: int, device: torch.device) -> nn.Module:
    config = {
        "otype": "FullyFusedMLP",
        "activation": "ReLU",
        "output_activation": "None",
        "n_neurons": width,
        "n_hidden_layers": num_hidden,
    }
    padded = [-(-count // _ALIGNMENT) * _ALIGNMENT for count in (num_inputs, num_outputs)]
    num_parameters = width * (padded[0] + width * (num_hidden - 1) + padded[1])
    create = functools.partial(library().Network, num_inputs, num_outputs, config)
    with torch.inference_mode(False):
        return make(create, num_parameters, device, "this network")
