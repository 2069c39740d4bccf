"""Stands in for tiny-cuda-nn, which needs a GPU: its Python interface, parameter layout, padding and precision.

Written from what its sources (version 1.7) say about themselves, independently of our conversion: every level, corner
and layer by itself. Two things are done as there that our definition does not do: corners beyond the last cell wrap
around, and inputs are padded with ones.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_PRIMES = (1, 2654435761, 805459861)
_GRANULARITY = 256


class Module(nn.Module, ABC):
    """What both modules share."""

    dtype: torch.dtype
    n_input_dims: int
    n_output_dims: int

    def __init__(self, num_parameters: int) -> None:
        super().__init__()
        self.params = nn.Parameter(torch.full((num_parameters,), math.nan))

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, 0, -len(x) % _GRANULARITY)).float()
        return self.compute(padded, self.params.to(self.dtype))[: len(x), : self.n_output_dims]

    @abstractmethod
    def compute(self, x: Tensor, params: Tensor) -> Tensor:
        """Compute padded rows from parameters in the precision of the module."""


class Encoding(Module):
    """Grid encoding."""

    def __init__(
        self, n_input_dims: int, encoding_config: dict[str, Any], seed: int = 1337, dtype: torch.dtype | None = None
    ) -> None:
        config = dict(encoding_config)
        assert (config.pop("otype"), config.pop("type"), config.pop("interpolation")) == ("Grid", "Hash", "Linear")
        self.features = config.pop("n_features_per_level")
        growth, base = torch.tensor(config.pop("per_level_scale")).log2(), config.pop("base_resolution")
        size, self.levels, first = 1 << config.pop("log2_hashmap_size"), [], 0
        for level in range(config.pop("n_levels")):
            scale = float(torch.exp2(level * growth) * base - 1)
            side = math.ceil(scale) + 1
            count = min((side**n_input_dims + 7) // 8 * 8, size)
            self.levels.append((scale, side, count, first))
            first += count
        assert not config, f"unknown options {config}"
        super().__init__(first * self.features)
        self.n_input_dims, self.n_output_dims = n_input_dims, len(self.levels) * self.features
        self.dtype = dtype or torch.half

    def compute(self, x: Tensor, params: Tensor) -> Tensor:
        table, features = params.view(-1, self.features), []
        for scale, side, count, first in self.levels:
            place = x * scale + 0.5
            cell = place.floor()
            fraction, total = place - cell, 0.0
            for corner in itertools.product((0, 1), repeat=self.n_input_dims):
                weight, position = 1.0, [cell[:, axis].long() + bit for axis, bit in enumerate(corner)]
                for axis, bit in enumerate(corner):
                    weight = weight * (fraction[:, axis] if bit else 1 - fraction[:, axis])
                if side**self.n_input_dims > count:
                    index = position[0]
                    for axis in range(1, self.n_input_dims):
                        index = index ^ (position[axis] * _PRIMES[axis] & 0xFFFFFFFF)
                else:
                    index = sum(value * side**axis for axis, value in enumerate(position))
                total = total + weight[:, None].to(self.dtype) * table[first + index % count]
            features.append(total)
        return torch.cat(features, dim=1)


class Network(Module):
    """Fully fused network."""

    dtype = torch.half

    def __init__(self, n_input_dims: int, n_output_dims: int, network_config: dict[str, Any], seed: int = 1337) -> None:
        config = dict(network_config)
        assert (config.pop("otype"), config.pop("activation")) == ("FullyFusedMLP", "ReLU")
        assert config.pop("output_activation") == "None"
        width, hidden = config.pop("n_neurons"), config.pop("n_hidden_layers")
        assert not config and width in (16, 32, 64, 128) and hidden >= 1
        inputs, outputs = ((count + 15) // 16 * 16 for count in (n_input_dims, n_output_dims))
        self.shapes = [(width, inputs), *[(width, width)] * (hidden - 1), (outputs, width)]
        super().__init__(sum(rows * columns for rows, columns in self.shapes))
        self.n_input_dims, self.n_output_dims = n_input_dims, n_output_dims

    def compute(self, x: Tensor, params: Tensor) -> Tensor:
        values = F.pad(x, (0, self.shapes[0][1] - x.shape[1]), value=1.0).half()
        for shape in self.shapes:
            weight, params = params[: shape[0] * shape[1]].view(shape), params[shape[0] * shape[1] :]
            # Products of float16, added up in float32, stored as float16.
            values = (values.float() @ weight.float().T).half()
            if shape is not self.shapes[-1]:
                values = values.relu()
        return values
