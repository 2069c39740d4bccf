"""Region gate: let every point in space take from an audio code what it listens to."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ns_talking.kernels.dispatch import op

TINY = 1e-12
"""Added to the squared strength: the gradient of a norm is undefined at zero, where a fresh grid starts."""


@op(triton="ns_talking.kernels.triton.region_gate:region_gate")
def region_gate(
    attention: Float[Tensor, "samples channels"],
    code: Float[Tensor, "frames channels"],
    row: Int[Tensor, " samples"],
) -> tuple[Float[Tensor, "samples channels"], Float[Tensor, " samples"]]:
    """Weigh the audio code of each point's frame, channel by channel, by the point's attention.

    Source:
        ER-NeRF (Li et al., ICCV 2023), section 3.3, equation 10: the Hadamard product of the attention vector with
        the audio feature.

    Args:
        attention: Attention of every point to each channel, unbounded.
        code: Audio code of each distinct frame.
        row: Row of the code that belongs to each point.

    Returns:
        The weighed code, and the strength of the attention: the length of its vector, in float32 at least.
    """
    check_gate(attention, code, row)
    accurate = attention if attention.dtype == torch.float64 else attention.float()
    return attention * code.index_select(0, row), (accurate.square().sum(dim=-1) + TINY).sqrt()


def check_gate(attention: Tensor, code: Tensor, row: Tensor) -> None:
    """Refuse attention and codes that do not belong together.

    Raises:
        ValueError: A shape is wrong.
    """
    if attention.ndim != 2 or code.ndim != 2 or attention.shape[1] != code.shape[1] or row.shape != attention.shape[:1]:
        raise ValueError(
            "The region gate needs attention [samples, channels], codes [frames, channels] and row [samples], found "
            f"{list(attention.shape)}, {list(code.shape)} and {list(row.shape)}."
        )
