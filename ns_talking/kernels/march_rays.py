"""March rays through an occupancy grid: place ray samples only where the grid says that there may be matter.

All candidates of a ray lie on one lattice. With the slab test's `near`, candidate k sits at

    t_k = near + (k + jitter) step,        k = 0, 1, 2, ...

computed from the integer k and never accumulated, so every implementation places exactly the same samples. Candidate k
is a sample when t_k < far and its voxel is occupied; the first `max_samples` samples of a ray are kept, packed to the
front of its row.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ns_talking.kernels.dispatch import op

MIN_NEAR = 0.05
"""No sample is nearer to the camera than this, in world units."""

_RAYS_AT_ONCE = 8192


@dataclass(frozen=True)
class RaySamplesPadded:
    """At most K samples per ray, in the order of the ray, valid ones first."""

    steps: Int[Tensor, "rays samples"]
    """Lattice index k of every sample (int32), -1 where there is none."""
    t: Float[Tensor, "rays samples"]
    """Distance from the ray's origin in world units, 0 where there is no sample."""
    valid: Bool[Tensor, "rays samples"]
    """Where there is a sample."""
    near: Float[Tensor, " rays"]
    """Distance where the ray enters the bounds, at least `MIN_NEAR`."""
    far: Float[Tensor, " rays"]
    """Distance where it leaves them; equal to `near` for rays that miss them."""


@op(
    numba="ns_talking.kernels.numba.march_rays:march_rays",
    triton="ns_talking.kernels.triton.march_rays:march_rays",
)
def march_rays(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    bounds: Float[Tensor, "2 3"],
    occupancy: Bool[Tensor, "width depth height"],
    step: float,
    max_samples: int,
    jitter: Float[Tensor, " rays"],
) -> RaySamplesPadded:
    """Find the first occupied lattice positions of every ray. Nothing is differentiable.

    Source:
        RAD-NeRF (Tang et al., 2022) and ER-NeRF (Li et al., ICCV 2023): constant step, at most 16 occupied samples
        per ray. Differs from the paper: the occupancy grid spans the bounds that rays are clipped to, not a cube
        around them, so no voxel is wasted; samples beyond an empty voxel stay on the ray's lattice.

    Args:
        origins: Ray origins in world units.
        directions: Unit vectors.
        bounds: Lowest and highest corner of the box that holds the head, in world units. The occupancy grid spans it.
        occupancy: Which voxels may hold matter, indexed [x, y, z].
        step: Distance between lattice positions in world units.
        max_samples: Most samples per ray (K).
        jitter: Shift of every ray's lattice in steps, in [0, 1): random while training, 0.5 or 0 otherwise.

    Returns:
        Padded samples of every ray.
    """
    check_march(origins, directions, bounds, occupancy, step, max_samples, jitter)
    chunks = zip(
        origins.split(_RAYS_AT_ONCE), directions.split(_RAYS_AT_ONCE), jitter.split(_RAYS_AT_ONCE), strict=True
    )
    with torch.no_grad():
        parts = [_march(o, d, bounds, occupancy, step, max_samples, j) for o, d, j in chunks]
    return RaySamplesPadded(*(torch.cat(column) for column in zip(*parts, strict=True)))


def check_march(
    origins: Tensor,
    directions: Tensor,
    bounds: Tensor,
    occupancy: Tensor,
    step: float,
    max_samples: int,
    jitter: Tensor,
) -> None:
    """Refuse arguments that do not belong together.

    Raises:
        ValueError: A shape, a dtype or a number is wrong.
    """
    num_rays = origins.shape[0]
    if origins.shape != (num_rays, 3) or directions.shape != (num_rays, 3) or jitter.shape != (num_rays,):
        raise ValueError(
            f"Rays need origins [rays, 3], directions [rays, 3] and jitter [rays], found {list(origins.shape)}, "
            f"{list(directions.shape)} and {list(jitter.shape)}."
        )
    if occupancy.ndim != 3 or occupancy.dtype != torch.bool or occupancy.numel() == 0:
        raise ValueError(
            f"The occupancy is a bool tensor [x, y, z], found {occupancy.dtype} {list(occupancy.shape)}. "
            "Compare the density grid with its threshold first."
        )
    if bounds.shape != (2, 3):
        raise ValueError(f"The bounds are two corners [2, 3], found {list(bounds.shape)}.")
    if not step > 0 or max_samples < 1:
        raise ValueError(f"Marching needs step > 0 and max_samples >= 1, found {step} and {max_samples}.")


def num_lattice_steps(bounds: Float[Tensor, "2 3"], step: float) -> int:
    """Count lattice positions that can lie inside the bounds: those of a ray along their diagonal."""
    low, high = bounds.tolist()
    return math.ceil(math.dist(low, high) / step) + 1


def intersect_bounds(
    origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], bounds: Float[Tensor, "2 3"]
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """Find where rays enter and leave the bounds (slab test), as `RaySamplesPadded` stores it."""
    parallel = directions == 0
    inverse = 1 / torch.where(parallel, torch.ones_like(directions), directions)
    first, second = (bounds[0] - origins) * inverse, (bounds[1] - origins) * inverse
    between = (origins >= bounds[0]) & (origins <= bounds[1])
    infinity = torch.full_like(first, math.inf)
    enter = torch.where(parallel, torch.where(between, -infinity, infinity), torch.minimum(first, second))
    leave = torch.where(parallel, torch.where(between, infinity, -infinity), torch.maximum(first, second))
    near = enter.amax(dim=-1).clamp(min=MIN_NEAR)
    far = leave.amin(dim=-1)
    hit = near < far
    near = torch.where(hit, near, torch.full_like(near, MIN_NEAR))
    return near, torch.where(hit, far, near)


def _march(
    origins: Tensor,
    directions: Tensor,
    bounds: Tensor,
    occupancy: Tensor,
    step: float,
    max_samples: int,
    jitter: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    near, far = intersect_bounds(origins, directions, bounds)
    k = torch.arange(num_lattice_steps(bounds, step), device=origins.device)
    t = near[:, None] + (k.to(origins.dtype) + jitter[:, None]) * step
    voxels_per_unit = torch.tensor(occupancy.shape, device=bounds.device) / (bounds[1] - bounds[0])
    voxel = []
    for axis, size in enumerate(occupancy.shape):
        position = origins[:, axis, None] + t * directions[:, axis, None]
        voxel.append(((position - bounds[0, axis]) * voxels_per_unit[axis]).long().clamp(0, size - 1))
    candidate = (t < far[:, None]) & occupancy[voxel[0], voxel[1], voxel[2]]
    rank = candidate.cumsum(dim=1)
    count = rank[:, -1:].clamp(max=max_samples)
    valid = torch.arange(max_samples, device=origins.device) < count
    row, column = (candidate & (rank <= max_samples)).nonzero(as_tuple=True)
    slot = rank[row, column] - 1
    steps = torch.full(valid.shape, -1, dtype=torch.int32, device=origins.device)
    steps[row, slot] = column.int()
    distance = torch.zeros(valid.shape, dtype=t.dtype, device=origins.device)
    distance[row, slot] = t[row, column]
    return steps, distance, valid, near, far
