"""The small decoders of the grid methods: linear layers without bias, ReLU between them, nothing behind the last."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn

from ns_talking.kernels.dispatch import Implementation
from ns_talking.kernels.linear import linear
from ns_talking.kernels.mlp import mlp
from ns_talking.kernels.tcnn.library import library


class HasImplementation:
    """A module whose grids or networks may be computed by another library; parameters are the same."""

    implementation: Implementation = "torch"


def choose_implementation(module: nn.Module, implementation: Implementation) -> None:
    """Choose whose grids and networks a module and all its parts use.

    Raises:
        ImportError: tiny-cuda-nn is wanted and not installed.
    """
    if implementation == "tcnn":
        library()
    for part in module.modules():
        if isinstance(part, HasImplementation):
            part.implementation = implementation


class MLP(nn.Sequential, HasImplementation):
    """Multi-layer perceptron without biases, as RAD-NeRF and ER-NeRF use everywhere.

    Args:
        dims: Widths from the input to the output; `(36, 64, 32)` has two layers.
    """

    def __init__(self, *dims: int) -> None:
        layers: list[nn.Module] = []
        for index, (in_dim, out_dim) in enumerate(zip(dims[:-1], dims[1:], strict=True)):
            if index:
                layers.append(nn.ReLU(inplace=True))
            layers.append(nn.Linear(in_dim, out_dim, bias=False))
        super().__init__(*layers)

    def forward(self, input: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch outputs"]:
        """Map every row."""
        if self.implementation == "torch":
            return through(self, input)
        return mlp.by(self.implementation)(input, [layer.weight for layer in self if isinstance(layer, nn.Linear)])


def through(layers: Iterable[nn.Module], hidden: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch outputs"]:
    """Pass rows through layers, of which the linear ones have no bias."""
    for layer in layers:
        hidden = linear(hidden, layer.weight) if isinstance(layer, nn.Linear) else layer(hidden)
    return hidden
