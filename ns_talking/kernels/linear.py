"""Linear layers without bias: where most of a training step on a CPU goes."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ns_talking.kernels.dispatch import op


@op(onednn="ns_talking.kernels.onednn.linear:linear")
def linear(
    inputs: Float[Tensor, "rows channels"], weight: Float[Tensor, "outputs channels"]
) -> Float[Tensor, "rows outputs"]:
    """Multiply every row by the transposed weight, as `torch.nn.functional.linear` does."""
    return F.linear(inputs, weight)
