"""Several linear layers without bias, with ReLU between them, as one operation."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from ns_talking.kernels.dispatch import op
from ns_talking.kernels.linear import linear


@op(tcnn="ns_talking.kernels.tcnn.mlp:mlp")
def mlp(
    inputs: Float[Tensor, "rows channels"], weights: Sequence[Float[Tensor, "_ _"]]
) -> Float[Tensor, "rows outputs"]:
    """Pass every row through all layers.

    Args:
        inputs: One sample per row.
        weights: Matrix of every layer, one row per output.
    """
    for index, weight in enumerate(weights):
        inputs = linear(inputs.relu_() if index else inputs, weight)
    return inputs
