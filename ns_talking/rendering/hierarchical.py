"""Coarse and fine samples along rays, between where a ray enters the head's visual hull and where it leaves it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ns_talking.rendering.rays import Rays

_PROBES = 64
"""Places along a ray at which the hull is looked up: 2 cm apart in a head's box."""


@dataclass(frozen=True)
class Interval:
    """The part of each ray that may meet the head."""

    near: Float[Tensor, " rays"]
    """Distance from the ray's origin in world units."""
    far: Float[Tensor, " rays"]
    hit: Bool[Tensor, " rays"]
    """Whether there is such a part; where there is none, the two distances bound the box."""


@torch.no_grad()
def hull_interval(
    rays: Rays, bounds: Float[Tensor, "2 3"], hull: Bool[Tensor, "resolution resolution resolution"]
) -> Interval:
    """Find where rays enter and leave what may be head.

    Args:
        rays: Rays.
        bounds: Corners of the head's box.
        hull: Cells of the box that may hold something, x first.
    """
    low, high = bounds
    towards = torch.where(rays.directions.abs() < 1e-9, 1e-9, rays.directions)
    first, second = (low - rays.origins) / towards, (high - rays.origins) / towards
    near = torch.minimum(first, second).amax(dim=1).clamp(min=0.05)
    far = torch.maximum(first, second).amin(dim=1)
    crosses = far > near
    near, far = torch.where(crosses, near, 1.0), torch.where(crosses, far, 2.0)
    step = (far - near)[:, None] / _PROBES
    t = near[:, None] + (torch.arange(_PROBES, device=near.device) + 0.5) * step
    points = rays.origins[:, None] + rays.directions[:, None] * t[..., None]
    resolution = hull.shape[0]
    cells = ((points - low) / (high - low) * resolution).long().clamp(0, resolution - 1)
    inside = hull[cells[..., 0], cells[..., 1], cells[..., 2]] & crosses[:, None]
    hit = inside.any(dim=1)
    # The hull may begin anywhere within a step of the first probe that lies in it.
    entry = t.masked_fill(~inside, torch.inf).amin(dim=1) - step[:, 0]
    leave = t.masked_fill(~inside, -torch.inf).amax(dim=1) + step[:, 0]
    return Interval(torch.where(hit, entry, near), torch.where(hit, leave, far), hit)


def stratified(
    interval: Interval, num_samples: int, jitter: Float[Tensor, "rays samples"] | None = None
) -> Float[Tensor, "rays samples"]:
    """Place one sample in each of equal parts of the interval.

    Source:
        NeRF (Mildenhall et al., ECCV 2020), equation 2.

    Args:
        interval: Where.
        num_samples: Parts.
        jitter: Place within the part, in [0, 1); None takes its middle.
    """
    places = torch.arange(num_samples, device=interval.near.device)
    shares = (places + (0.5 if jitter is None else jitter)) / num_samples
    return interval.near[:, None] + (interval.far - interval.near)[:, None] * shares


@torch.no_grad()
def importance(
    interval: Interval,
    t: Float[Tensor, "rays samples"],
    weights: Float[Tensor, "rays samples"],
    num_samples: int,
    jitter: Float[Tensor, "rays fine"] | None = None,
) -> Float[Tensor, "rays fine"]:
    """Place more samples where the coarse ones have weight, by inverting their cumulative distribution.

    Source:
        NeRF (Mildenhall et al., ECCV 2020), section 5.2. Each coarse sample stands for the part of the ray that is
        nearest to it.

    Args:
        interval: Where.
        t: Coarse samples, ascending.
        weights: Their weights.
        num_samples: How many.
        jitter: Place within equal parts of the distribution, in [0, 1); None takes their middles.
    """
    middles = (t[:, 1:] + t[:, :-1]) / 2
    edges = torch.cat([interval.near[:, None], middles, interval.far[:, None]], dim=1)
    share = weights + 1e-3 / weights.shape[1]
    cumulative = torch.cat([torch.zeros_like(share[:, :1]), share.cumsum(dim=1)], dim=1)
    cumulative = cumulative / cumulative[:, -1:]
    places = torch.arange(num_samples, device=t.device)
    wanted = ((places + (0.5 if jitter is None else jitter)) / num_samples).expand(len(t), num_samples).contiguous()
    upper = torch.searchsorted(cumulative, wanted, right=True).clamp(1, cumulative.shape[1] - 1)
    low, high = (cumulative.gather(1, place) for place in (upper - 1, upper))
    start, end = (edges.gather(1, place) for place in (upper - 1, upper))
    return start + (end - start) * ((wanted - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)


def ray_weights(
    density: Float[Tensor, "rays samples"], t: Float[Tensor, "rays samples"], far: Float[Tensor, " rays"]
) -> Float[Tensor, "rays samples"]:
    """Weigh samples by their opacity and by what the samples before them let through.

    A sample stands for the way to the next one, the last for the way to the end of the interval; what is left of the
    light behind that shows the layer behind the head.

    Source:
        NeRF (Mildenhall et al., ECCV 2020), equation 3.

    Args:
        density: Per unit of length, >= 0.
        t: Distances, ascending.
        far: Where the ray leaves the head's hull.
    """
    steps = torch.diff(t, dim=1, append=torch.maximum(far[:, None], t[:, -1:]))
    optical = density * steps
    before = optical.cumsum(dim=1) - optical
    return (1 - (-optical).exp()) * (-before).exp()
