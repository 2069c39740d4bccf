"""Ray marching on the GPU: a thread walks the lattice of one ray until its row is full or the ray leaves the bounds.

Every operation is rounded as the definition rounds it (no fused multiply-add, exact division), so that both place the
same samples. Nothing is asked of the GPU: the walk ends by itself.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ns_talking.kernels.march_rays import MIN_NEAR, RaySamplesPadded, check_march
from ns_talking.kernels.triton.launch import block_size, launch, power_of_two

_RAYS = 128


@torch.no_grad()
def march_rays(
    origins: Tensor,
    directions: Tensor,
    bounds: Tensor,
    occupancy: Tensor,
    step: float,
    max_samples: int,
    jitter: Tensor,
) -> RaySamplesPadded:
    """See `ns_talking.kernels.march_rays.march_rays`."""
    check_march(origins, directions, bounds, occupancy, step, max_samples, jitter)
    origins, directions, bounds, jitter = (
        tensor.float().contiguous() for tensor in (origins, directions, bounds, jitter)
    )
    num_rays, device = len(origins), origins.device
    samples = RaySamplesPadded(
        steps=torch.empty(num_rays, max_samples, dtype=torch.int32, device=device),
        t=torch.empty(num_rays, max_samples, device=device),
        valid=torch.empty(num_rays, max_samples, dtype=torch.bool, device=device),
        near=torch.empty(num_rays, device=device),
        far=torch.empty(num_rays, device=device),
    )
    block = block_size(num_rays, _RAYS)
    launch(
        _march,
        (triton.cdiv(num_rays, block),),
        origins,
        directions,
        bounds,
        occupancy.contiguous().view(torch.uint8),
        jitter,
        samples.steps,
        samples.t,
        samples.valid.view(torch.uint8),
        samples.near,
        samples.far,
        step,
        num_rays,
        max_samples,
        *occupancy.shape,
        MIN_NEAR=MIN_NEAR,
        SLOTS=power_of_two(max_samples),
        BLOCK=block,
        num_warps=4,
        enable_fp_fusion=False,
    )
    return samples


@triton.jit
def _slab(origin, direction, low, high):
    """Distances where lines meet two parallel planes; an infinite or an empty interval where they are parallel."""
    parallel = direction == 0
    inverse = tl.div_rn(tl.full(direction.shape, 1.0, tl.float32), tl.where(parallel, 1.0, direction))
    first = (low - origin) * inverse
    second = (high - origin) * inverse
    between = (origin >= low) & (origin <= high)
    enter = tl.where(between, -float("inf"), float("inf"))
    return (
        tl.where(parallel, enter, tl.minimum(first, second)),
        tl.where(parallel, -enter, tl.maximum(first, second)),
    )


@triton.jit
def load_grid(bounds, width, depth, height):
    """Lowest corner of a grid of voxels, and voxels per unit along each axis."""
    low_x, low_y, low_z = tl.load(bounds), tl.load(bounds + 1), tl.load(bounds + 2)
    scale_x = tl.div_rn(low_x * 0 + width, tl.load(bounds + 3) - low_x)
    scale_y = tl.div_rn(low_y * 0 + depth, tl.load(bounds + 4) - low_y)
    scale_z = tl.div_rn(low_z * 0 + height, tl.load(bounds + 5) - low_z)
    return low_x, low_y, low_z, scale_x, scale_y, scale_z


@triton.jit
def load_rays(origins, directions, bounds, rays, exists, MIN_NEAR: tl.constexpr):
    """Origins and directions of rays, where they enter and leave the bounds, and which do."""
    origin_x = tl.load(origins + rays * 3, mask=exists, other=0.0)
    origin_y = tl.load(origins + rays * 3 + 1, mask=exists, other=0.0)
    origin_z = tl.load(origins + rays * 3 + 2, mask=exists, other=0.0)
    direction_x = tl.load(directions + rays * 3, mask=exists, other=0.0)
    direction_y = tl.load(directions + rays * 3 + 1, mask=exists, other=0.0)
    direction_z = tl.load(directions + rays * 3 + 2, mask=exists, other=0.0)
    enter_x, leave_x = _slab(origin_x, direction_x, tl.load(bounds), tl.load(bounds + 3))
    enter_y, leave_y = _slab(origin_y, direction_y, tl.load(bounds + 1), tl.load(bounds + 4))
    enter_z, leave_z = _slab(origin_z, direction_z, tl.load(bounds + 2), tl.load(bounds + 5))
    near = tl.maximum(tl.maximum(tl.maximum(enter_x, enter_y), enter_z), MIN_NEAR)
    far = tl.minimum(tl.minimum(leave_x, leave_y), leave_z)
    hit = exists & (near < far)
    near = tl.where(hit, near, MIN_NEAR)
    far = tl.where(hit, far, near)
    return origin_x, origin_y, origin_z, direction_x, direction_y, direction_z, near, far, hit


@triton.jit
def is_occupied(occupancy, x, y, z, low_x, low_y, low_z, scale_x, scale_y, scale_z, width, depth, height, asked):
    """Tell whether the voxels that hold positions are occupied; False where it is not asked."""
    voxel_x = tl.minimum(tl.maximum(((x - low_x) * scale_x).to(tl.int32), 0), width - 1)
    voxel_y = tl.minimum(tl.maximum(((y - low_y) * scale_y).to(tl.int32), 0), depth - 1)
    voxel_z = tl.minimum(tl.maximum(((z - low_z) * scale_z).to(tl.int32), 0), height - 1)
    cell = (voxel_x.to(tl.int64) * depth + voxel_y) * height + voxel_z
    return asked & (tl.load(occupancy + cell, mask=asked, other=0) != 0)


@triton.jit
def _march(
    origins,
    directions,
    bounds,
    occupancy,
    jitters,
    steps,
    distances,
    valid,
    nears,
    fars,
    step,
    num_rays,
    max_samples,
    width,
    depth,
    height,
    MIN_NEAR: tl.constexpr,
    SLOTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    rays = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = rays < num_rays
    origin_x, origin_y, origin_z, direction_x, direction_y, direction_z, near, far, hit = load_rays(
        origins, directions, bounds, rays, exists, MIN_NEAR
    )
    jitter = tl.load(jitters + rays, mask=exists, other=0.0)
    tl.store(nears + rays, near, mask=exists)
    tl.store(fars + rays, far, mask=exists)

    low_x, low_y, low_z, scale_x, scale_y, scale_z = load_grid(bounds, width, depth, height)
    count = tl.zeros([BLOCK], tl.int32)
    k = tl.zeros([BLOCK], tl.int32)
    walks = hit
    while tl.max(walks.to(tl.int32), axis=0) > 0:
        t = near + (k.to(tl.float32) + jitter) * step
        walks = walks & (t < far)
        x, y, z = origin_x + t * direction_x, origin_y + t * direction_y, origin_z + t * direction_z
        found = is_occupied(
            occupancy, x, y, z, low_x, low_y, low_z, scale_x, scale_y, scale_z, width, depth, height, walks
        )
        at = rays * max_samples + count
        tl.store(steps + at, k, mask=found)
        tl.store(distances + at, t, mask=found)
        tl.store(valid + at, tl.full([BLOCK], 1, tl.uint8), mask=found)
        count += found.to(tl.int32)
        walks = walks & (count < max_samples)
        k += 1
    slot = tl.arange(0, SLOTS)
    empty = exists[:, None] & (slot[None, :] >= count[:, None]) & (slot < max_samples)[None, :]
    at = rays[:, None] * max_samples + slot[None, :]
    tl.store(steps + at, tl.full([BLOCK, SLOTS], -1, tl.int32), mask=empty)
    tl.store(distances + at, tl.zeros([BLOCK, SLOTS], tl.float32), mask=empty)
    tl.store(valid + at, tl.zeros([BLOCK, SLOTS], tl.uint8), mask=empty)
