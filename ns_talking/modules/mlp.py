"""The small decoders of the grid methods: linear layers without bias, ReLU between them, nothing behind the last."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn

from ns_talking.kernels.linear import linear


class MLP(nn.Sequential):
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
        return through(self, input)


def through(layers: Iterable[nn.Module], hidden: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch outputs"]:
    """Pass rows through layers, of which the linear ones have no bias."""
    for layer in layers:
        hidden = linear(hidden, layer.weight) if isinstance(layer, nn.Linear) else layer(hidden)
    return hidden
