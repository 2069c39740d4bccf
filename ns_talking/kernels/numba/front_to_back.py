"""Packing and accumulating groups of samples on the CPU: one pass over the rays each."""

import math

import numba
import numpy as np
import torch
from torch import Tensor

from ns_talking.kernels.composite_rays import MIN_TRANSMITTANCE
from ns_talking.kernels.numba.compiled import compiled

_BLOCK = 2048
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_MIN_TRANSMITTANCE = np.float32(MIN_TRANSMITTANCE)


@torch.no_grad()
def pack_samples(
    t: Tensor, valid: Tensor, origins: Tensor, directions: Tensor, bounds: Tensor, transmittance: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See `ns_talking.kernels.front_to_back.pack_samples`."""
    t, valid, transmittance = t.float().contiguous(), valid.contiguous(), transmittance.float().contiguous()
    counts = np.empty((t.shape[0] + _BLOCK - 1) // _BLOCK, dtype=np.int64)
    _count(valid.numpy(), transmittance.numpy(), counts)
    ends = np.cumsum(counts)
    num_samples = int(ends[-1]) if ends.size else 0
    ray, slot = torch.empty(num_samples, dtype=torch.int64), torch.empty(num_samples, dtype=torch.int64)
    distance, points = torch.empty(num_samples), torch.empty(num_samples, 3)
    _pack(
        t.numpy(),
        valid.numpy(),
        origins.float().contiguous().numpy(),
        directions.float().contiguous().numpy(),
        bounds.float().contiguous().numpy(),
        transmittance.numpy(),
        ends - counts,
        ray.numpy(),
        slot.numpy(),
        distance.numpy(),
        points.numpy(),
    )
    return ray, slot, distance, points


@torch.no_grad()
def accumulate_packed(
    transmittance: Tensor,
    totals: Tensor,
    depth: Tensor,
    ray: Tensor,
    slot: Tensor,
    t: Tensor,
    density: Tensor,
    values: Tensor,
    step: float,
) -> None:
    """See `ns_talking.kernels.front_to_back.accumulate_packed`."""
    _accumulate(
        transmittance.numpy(),
        totals.numpy(),
        depth.numpy(),
        ray.contiguous().numpy(),
        t.float().contiguous().numpy(),
        density.detach().float().contiguous().numpy(),
        values.detach().float().contiguous().numpy(),
        np.float32(step),
    )


@compiled
def _count(valid, transmittance, counts):
    num_rays, size = valid.shape
    for block in numba.prange(counts.size):
        total = 0
        for ray in range(block * _BLOCK, min((block + 1) * _BLOCK, num_rays)):
            if transmittance[ray] >= _MIN_TRANSMITTANCE:
                for slot in range(size):
                    total += valid[ray, slot]
        counts[block] = total


@compiled
def _pack(t, valid, origins, directions, bounds, transmittance, starts, rays, slots, distances, points):
    num_rays, size = valid.shape
    for block in numba.prange(starts.size):
        i = starts[block]
        for ray in range(block * _BLOCK, min((block + 1) * _BLOCK, num_rays)):
            if not transmittance[ray] >= _MIN_TRANSMITTANCE:
                continue
            for slot in range(size):
                if valid[ray, slot]:
                    distance = t[ray, slot]
                    rays[i], slots[i], distances[i] = ray, slot, distance
                    for axis in range(3):
                        low, high = bounds[0, axis], bounds[1, axis]
                        position = (origins[ray, axis] + distance * directions[ray, axis] - low) / (high - low)
                        points[i, axis] = min(max(position, _ZERO), _ONE)
                    i += 1


@compiled
def _accumulate(transmittance, totals, depth, rays, t, density, values, step):
    num_samples = rays.size
    for block in numba.prange((num_samples + _BLOCK - 1) // _BLOCK):
        # A ray belongs to the block that holds its first sample.
        i, stop = block * _BLOCK, min((block + 1) * _BLOCK, num_samples)
        while 0 < i < num_samples and rays[i] == rays[i - 1]:
            i += 1
        while i < num_samples and (i < stop or rays[i] == rays[i - 1]):
            ray = rays[i]
            light = transmittance[ray]
            if light >= _MIN_TRANSMITTANCE:
                optical_depth = density[i] * step
                weight = np.float32(-math.expm1(-optical_depth)) * light
                for channel in range(totals.shape[1]):
                    totals[ray, channel] += weight * values[i, channel]
                depth[ray] += weight * t[i]
                transmittance[ray] = light * np.float32(math.exp(-optical_depth))
            i += 1
