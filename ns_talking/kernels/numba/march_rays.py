"""Ray marching on the CPU: the same lattice as the definition, without visiting the empty part of it.

Blocks of 8^3 voxels are summarised first. A ray starts where it meets the box around the occupied blocks and jumps over
every empty block. Jumps only ever skip lattice positions that lie inside a block that is known to be empty: a jump ends
at the last position not beyond the block's exit, so rounding cannot lose a sample; whatever position follows is tested
as the definition tests it.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from ns_talking.kernels.march_rays import (
    MIN_NEAR,
    RaySamplesPadded,
    check_march,
    num_lattice_steps,
)
from ns_talking.kernels.numba.compiled import compiled, compiled_part

_SIDE = 8
_FAR = np.float32(np.inf)
_MIN_NEAR = np.float32(MIN_NEAR)
# In voxels: positions this close to the face of a block may round to either side of it.
_MARGIN = np.float32(1e-3)


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
    occupancy = occupancy.contiguous()
    num_rays = origins.shape[0]
    blocks = np.empty([-(-side // _SIDE) for side in occupancy.shape], dtype=np.bool_)
    _summarise(occupancy.numpy(), blocks)
    box = np.zeros((2, 3), dtype=np.float32)
    for axis in range(3):
        used = np.flatnonzero(blocks.any(axis=tuple(other for other in range(3) if other != axis)))
        if used.size:
            box[:, axis] = used[0] * _SIDE, (used[-1] + 1) * _SIDE
    voxels_per_unit = torch.tensor(occupancy.shape) / (bounds[1] - bounds[0])
    samples = RaySamplesPadded(
        steps=torch.empty(num_rays, max_samples, dtype=torch.int32),
        t=torch.empty(num_rays, max_samples),
        valid=torch.empty(num_rays, max_samples, dtype=torch.bool),
        near=torch.empty(num_rays),
        far=torch.empty(num_rays),
    )
    _march(
        origins.numpy(),
        directions.numpy(),
        bounds.numpy(),
        voxels_per_unit.numpy(),
        occupancy.numpy(),
        blocks,
        box,
        np.float32(step),
        num_lattice_steps(bounds, step),
        jitter.numpy(),
        samples.steps.numpy(),
        samples.t.numpy(),
        samples.valid.numpy(),
        samples.near.numpy(),
        samples.far.numpy(),
    )
    return samples


@compiled
def _summarise(occupancy, blocks):
    """Mark the blocks that hold at least one occupied voxel."""
    width, depth, height = occupancy.shape
    for block_x in numba.prange(blocks.shape[0]):
        for block_y in range(blocks.shape[1]):
            for block_z in range(blocks.shape[2]):
                found = False
                for x in range(block_x * _SIDE, min((block_x + 1) * _SIDE, width)):
                    for y in range(block_y * _SIDE, min((block_y + 1) * _SIDE, depth)):
                        for z in range(block_z * _SIDE, min((block_z + 1) * _SIDE, height)):
                            found |= occupancy[x, y, z]
                    if found:
                        break
                blocks[block_x, block_y, block_z] = found


@compiled_part
def _slab(origin, direction, low, high):
    """Distances where a line meets two parallel planes; an infinite or an empty interval where it is parallel."""
    if direction == np.float32(0.0):
        return (-_FAR, _FAR) if low <= origin <= high else (_FAR, -_FAR)
    inverse = np.float32(1.0) / direction
    first, second = (low - origin) * inverse, (high - origin) * inverse
    return (first, second) if first < second else (second, first)


@compiled_part
def _leave_block(origin, direction, block, low, voxels_per_unit):
    """Distance where a line comes close to the face through which it leaves a block along one axis."""
    if direction == np.float32(0.0):
        return _FAR
    face = np.float32((block + 1) * _SIDE) - _MARGIN if direction > np.float32(0.0) else block * _SIDE + _MARGIN
    return (low + np.float32(face) / voxels_per_unit - origin) / direction


@compiled_part
def _lattice(t, near, step, jitter, num_steps):
    """Last lattice position that is not beyond t, or 0."""
    position = (t - near) / step - jitter
    if not position > np.float32(0.0):
        return 0
    return int(position) if position < np.float32(num_steps) else num_steps


@compiled_part
def _voxel(position, low, voxels_per_unit, size):
    return min(max(np.int64((position - low) * voxels_per_unit), 0), size - 1)


@compiled
def _march(
    origins,
    directions,
    bounds,
    voxels_per_unit,
    occupancy,
    blocks,
    box,
    step,
    num_steps,
    jitters,
    steps,
    distances,
    valid,
    nears,
    fars,
):
    num_rays, max_samples = steps.shape
    size_x, size_y, size_z = occupancy.shape
    low_x, low_y, low_z = bounds[0, 0], bounds[0, 1], bounds[0, 2]
    scale_x, scale_y, scale_z = voxels_per_unit[0], voxels_per_unit[1], voxels_per_unit[2]
    for ray in numba.prange(num_rays):
        origin_x, origin_y, origin_z = origins[ray, 0], origins[ray, 1], origins[ray, 2]
        direction_x, direction_y, direction_z = directions[ray, 0], directions[ray, 1], directions[ray, 2]
        jitter = jitters[ray]
        near, far = -_FAR, _FAR
        enter, leave = -_FAR, _FAR
        for axis in range(3):
            origin, direction = origins[ray, axis], directions[ray, axis]
            first, second = _slab(origin, direction, bounds[0, axis], bounds[1, axis])
            near, far = max(near, first), min(far, second)
            first, second = _slab(
                origin,
                direction,
                bounds[0, axis] + (box[0, axis] - _MARGIN) / voxels_per_unit[axis],
                bounds[0, axis] + (box[1, axis] + _MARGIN) / voxels_per_unit[axis],
            )
            enter, leave = max(enter, first), min(leave, second)
        near = max(near, _MIN_NEAR)
        count = 0
        if near < far:
            nears[ray], fars[ray] = near, far
            if enter < leave:
                k = _lattice(enter, near, step, jitter, num_steps)
                last = min(_lattice(leave, near, step, jitter, num_steps) + 2, num_steps)
            else:
                k = last = 0
            while k < last and count < max_samples:
                t = near + (np.float32(k) + jitter) * step
                if not t < far:
                    break
                x = _voxel(origin_x + t * direction_x, low_x, scale_x, size_x)
                y = _voxel(origin_y + t * direction_y, low_y, scale_y, size_y)
                z = _voxel(origin_z + t * direction_z, low_z, scale_z, size_z)
                block_x, block_y, block_z = x // _SIDE, y // _SIDE, z // _SIDE
                if blocks[block_x, block_y, block_z]:
                    if occupancy[x, y, z]:
                        steps[ray, count], distances[ray, count], valid[ray, count] = k, t, True
                        count += 1
                    k += 1
                else:
                    leave = min(
                        _leave_block(origin_x, direction_x, block_x, low_x, scale_x),
                        _leave_block(origin_y, direction_y, block_y, low_y, scale_y),
                        _leave_block(origin_z, direction_z, block_z, low_z, scale_z),
                    )
                    k = max(k + 1, _lattice(leave, near, step, jitter, num_steps))
        else:
            nears[ray], fars[ray] = _MIN_NEAR, _MIN_NEAR
        for slot in range(count, max_samples):
            steps[ray, slot], distances[ray, slot], valid[ray, slot] = -1, np.float32(0.0), False
