"""Render without gradients, front to back in small groups of samples, so that what is hidden is never evaluated.

`march_rays` finds the samples; `select_samples` packs a group of them, of the rays that still let light through; a
field evaluates the packed points; `accumulate_rays` adds them up. After all groups the totals equal `composite_rays`
of all samples:

    samples = march_rays(origins, directions, bounds, occupancy, step, max_samples, jitter)
    totals = RayTotals.start(num_rays, channels=3)
    for first in range(0, max_samples, 4):
        group = select_samples(samples, origins, directions, bounds, totals.transmittance, first, 4)
        density, rgb = field(group.points, group.ray)
        accumulate_rays(totals, group, density, rgb, step)
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ns_talking.kernels.composite_rays import MIN_TRANSMITTANCE
from ns_talking.kernels.dispatch import op
from ns_talking.kernels.march_rays import RaySamplesPadded


@dataclass(frozen=True)
class SelectedSamples:
    """Packed samples, ray by ray and front to back."""

    ray: Int[Tensor, " samples"]
    """Index of the ray that each belongs to (int64)."""
    slot: Int[Tensor, " samples"]
    """Its place within the group (int64), from 0."""
    t: Float[Tensor, " samples"]
    """Distance from the ray's origin in world units."""
    points: Float[Tensor, "samples 3"]
    """Position within the bounds, in [0, 1]: what the encodings take."""


@dataclass(frozen=True)
class RayTotals:
    """What has been accumulated along every ray; `accumulate_rays` changes it in place."""

    transmittance: Float[Tensor, " rays"]
    """Share of light that still comes through; one minus the accumulation."""
    values: Float[Tensor, "rays channels"]
    """Composited channels, premultiplied."""
    depth: Float[Tensor, " rays"]
    """Sum of weight times distance, in world units."""

    @classmethod
    def start(cls, num_rays: int, channels: int, device: torch.device | str = "cpu") -> "RayTotals":
        """Totals of rays that have met nothing yet."""
        return cls(
            transmittance=torch.ones(num_rays, device=device),
            values=torch.zeros(num_rays, channels, device=device),
            depth=torch.zeros(num_rays, device=device),
        )


def select_samples(
    samples: RaySamplesPadded,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    bounds: Float[Tensor, "2 3"],
    transmittance: Float[Tensor, " rays"],
    first: int,
    count: int,
) -> SelectedSamples:
    """Pack the samples `first` to `first + count - 1` of every ray that is not opaque yet.

    Args:
        samples: What `march_rays` found.
        origins: Ray origins in world units.
        directions: Unit vectors.
        bounds: Lowest and highest corner of the box, in world units.
        transmittance: Share of light that still comes through each ray.
        first: First sample of the group.
        count: Samples per ray in the group.

    Returns:
        The packed samples.
    """
    last = first + count
    return SelectedSamples(
        *pack_samples(
            samples.t[:, first:last], samples.valid[:, first:last], origins, directions, bounds, transmittance
        )
    )


@op(
    numba="ns_talking.kernels.numba.front_to_back:pack_samples",
    triton="ns_talking.kernels.triton.front_to_back:pack_samples",
)
def pack_samples(
    t: Float[Tensor, "rays group"],
    valid: Bool[Tensor, "rays group"],
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    bounds: Float[Tensor, "2 3"],
    transmittance: Float[Tensor, " rays"],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pack one group of samples; see `select_samples`.

    Returns:
        Ray, slot, distance and position of every sample, as `SelectedSamples` describes them.
    """
    with torch.no_grad():
        ray, slot = (valid & (transmittance >= MIN_TRANSMITTANCE)[:, None]).nonzero(as_tuple=True)
        distance = t[ray, slot]
        position = origins[ray] + distance[:, None] * directions[ray]
        return ray, slot, distance, ((position - bounds[0]) / (bounds[1] - bounds[0])).clamp(0, 1)


def accumulate_rays(
    totals: RayTotals,
    group: SelectedSamples,
    density: Float[Tensor, " samples"],
    values: Float[Tensor, "samples channels"],
    step: float,
) -> None:
    """Add a group of samples to the totals of their rays, in place and without gradients.

    Args:
        totals: What the groups in front of this one amount to.
        group: The samples.
        density: Density of each per world unit, not negative.
        values: Colour and other channels of each.
        step: Length that every sample stands for, in world units.
    """
    accumulate_packed(
        totals.transmittance, totals.values, totals.depth, group.ray, group.slot, group.t, density, values, step
    )


@op(
    numba="ns_talking.kernels.numba.front_to_back:accumulate_packed",
    triton="ns_talking.kernels.triton.front_to_back:accumulate_packed",
)
def accumulate_packed(
    transmittance: Float[Tensor, " rays"],
    totals: Float[Tensor, "rays channels"],
    depth: Float[Tensor, " rays"],
    ray: Int[Tensor, " samples"],
    slot: Int[Tensor, " samples"],
    t: Float[Tensor, " samples"],
    density: Float[Tensor, " samples"],
    values: Float[Tensor, "samples channels"],
    step: float,
) -> None:
    """Add packed samples to `transmittance`, `totals` and `depth` of their rays; see `accumulate_rays`."""
    with torch.no_grad():
        for index in range(int(slot.max()) + 1 if slot.numel() else 0):
            # No ray has two samples in one slot, so the additions below do not collide.
            chosen = slot == index
            rows = ray[chosen]
            light = transmittance[rows]
            optical_depth = density[chosen].float() * step
            opacity = -torch.expm1(-optical_depth)
            weight = torch.where(light >= MIN_TRANSMITTANCE, light * opacity, torch.zeros_like(light))
            totals[rows] += weight[:, None] * values[chosen].float()
            depth[rows] += weight * t[chosen]
            transmittance[rows] = torch.where(light >= MIN_TRANSMITTANCE, light * torch.exp(-optical_depth), light)
