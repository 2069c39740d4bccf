"""Composite padded ray samples front to back.

With the optical depth tau_i = density_i step of sample i, its opacity is alpha_i = 1 - exp(-tau_i), the light that
reaches it T_i = exp(-(tau_1 + ... + tau_{i-1})) and its weight w_i = T_i alpha_i. Samples with T_i < 1e-4 are masked
exactly: they contribute nothing to any output and get no gradient.

For the twins: let g_i be the gradient of the loss with respect to w_i, gathered from all outputs that are sums of
w_i times something. Then, over the samples that are not masked,

    dL/dtau_i = g_i T_i exp(-tau_i) - sum_{j > i} g_j w_j,        dL/ddensity_i = step dL/dtau_i.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ns_talking.kernels.dispatch import op

MIN_TRANSMITTANCE = 1e-4
MAX_OPTICAL_DEPTH = -math.log(MIN_TRANSMITTANCE)
"""Samples behind more optical depth than this are masked."""


@dataclass(frozen=True)
class Composite:
    """What the samples of every ray amount to."""

    rgb: Float[Tensor, "rays 3"]
    """Colour, premultiplied: put a background behind it with `rgb + (1 - accumulation) * background`."""
    accumulation: Float[Tensor, " rays"]
    """Opacity of the ray: the sum of the weights, in [0, 1]."""
    depth: Float[Tensor, " rays"]
    """Sum of weight times distance, in world units; divide by the accumulation for the mean distance."""
    auxiliary: Float[Tensor, "rays channels"]
    """Plain sums over the samples."""
    weighted: Float[Tensor, "rays features"]
    """Sums of weight times feature."""
    weights: Float[Tensor, "rays samples"]
    """Weight of every sample, 0 where it is masked or not valid."""


@op(
    numba="ns_talking.kernels.numba.composite_rays:composite_rays",
    triton="ns_talking.kernels.triton.composite_rays:composite_rays",
)
def composite_rays(
    density: Float[Tensor, "rays samples"],
    step: float,
    rgb: Float[Tensor, "rays samples 3"],
    auxiliary: Float[Tensor, "rays samples channels"] | None,
    weighted: Float[Tensor, "rays samples features"] | None,
    t: Float[Tensor, "rays samples"],
    valid: Bool[Tensor, "rays samples"],
) -> Composite:
    """Composite colour, opacity, depth and extra channels along rays.

    Gradients flow to everything that floats. Samples that are not valid may hold anything, even NaN.

    Source:
        NeRF (Mildenhall et al., ECCV 2020), equation 3; RAD-NeRF and ER-NeRF for the constant step, the stop at a
        transmittance of 1e-4 and the plain sums of the attention channels.

    Args:
        density: Density per world unit, not negative; may be infinite.
        step: Length that every sample stands for, in world units.
        rgb: Colour of every sample.
        auxiliary: Channels to be summed without weights, up to the stop; None for none.
        weighted: Channels to be composited like the colour; None for none.
        t: Distance of every sample in world units.
        valid: Which samples exist.

    Returns:
        Sums of every ray, in float32 at least.
    """
    auxiliary, weighted = check_composite(density, rgb, auxiliary, weighted, t, valid)
    density, rgb, auxiliary, weighted, t = (
        value if value.dtype == torch.float64 else value.float() for value in (density, rgb, auxiliary, weighted, t)
    )
    optical_depth = _masked(density, valid) * step
    before = torch.cat([torch.zeros_like(optical_depth[:, :1]), optical_depth[:, :-1].cumsum(dim=1)], dim=1)
    reached = valid & (before <= MAX_OPTICAL_DEPTH)
    weights = _masked(-torch.expm1(-_masked(optical_depth, reached)) * torch.exp(-_masked(before, reached)), reached)
    return Composite(
        rgb=(weights[:, :, None] * _masked(rgb, reached)).sum(dim=1),
        accumulation=weights.sum(dim=1),
        depth=(weights * _masked(t, reached)).sum(dim=1),
        auxiliary=_masked(auxiliary, reached).sum(dim=1),
        weighted=(weights[:, :, None] * _masked(weighted, reached)).sum(dim=1),
        weights=weights,
    )


def check_composite(
    density: Tensor, rgb: Tensor, auxiliary: Tensor | None, weighted: Tensor | None, t: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor]:
    """Refuse samples that do not belong together; replace absent channels by zero of them.

    Raises:
        ValueError: A shape or a dtype is wrong.
    """
    auxiliary = density.new_zeros(*density.shape, 0) if auxiliary is None else auxiliary
    weighted = density.new_zeros(*density.shape, 0) if weighted is None else weighted
    shape = density.shape
    fits = (
        density.ndim == 2
        and rgb.shape == (*shape, 3)
        and auxiliary.ndim == weighted.ndim == 3
        and auxiliary.shape[:2] == weighted.shape[:2] == t.shape == valid.shape == shape
    )
    if not fits or valid.dtype != torch.bool:
        raise ValueError(
            "Compositing needs density, t and a bool valid of shape [rays, samples], rgb [rays, samples, 3], auxiliary "
            f"and weighted [rays, samples, channels], found {list(shape)}, {list(t.shape)}, {valid.dtype} "
            f"{list(valid.shape)}, {list(rgb.shape)}, {list(auxiliary.shape)} and {list(weighted.shape)}."
        )
    return auxiliary, weighted


def _masked(values: Tensor, mask: Tensor) -> Tensor:
    """Replace what the mask leaves out by 0, in the gradient too."""
    mask = mask if values.ndim == mask.ndim else mask[:, :, None]
    return torch.where(mask, values, torch.zeros((), dtype=values.dtype, device=values.device))
