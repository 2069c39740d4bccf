"""Packing and accumulating groups of samples on the GPU.

How many samples a group has is known on the GPU alone, so packing waits for it once, as its definition does.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ns_talking.kernels.composite_rays import MIN_TRANSMITTANCE
from ns_talking.kernels.triton.composite_rays import opacity
from ns_talking.kernels.triton.launch import block_size, launch, power_of_two

_RAYS = 128


@torch.no_grad()
def pack_samples(
    t: Tensor, valid: Tensor, origins: Tensor, directions: Tensor, bounds: Tensor, transmittance: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See `ns_talking.kernels.front_to_back.pack_samples`."""
    (num_rays, size), device = t.shape, t.device
    open_samples = (valid & (transmittance >= MIN_TRANSMITTANCE)[:, None]).contiguous()
    ends = open_samples.view(-1).cumsum(dim=0).view(num_rays, size)
    num_samples = int(ends[-1, -1]) if ends.numel() else 0
    ray = torch.empty(num_samples, dtype=torch.int64, device=device)
    slot = torch.empty_like(ray)
    distance, points = torch.empty(num_samples, device=device), torch.empty(num_samples, 3, device=device)
    block = block_size(num_rays, _RAYS)
    launch(
        _pack,
        (triton.cdiv(num_rays, block) if num_samples else 0,),
        t.float().contiguous(),
        open_samples.view(torch.uint8),
        ends,
        origins.float().contiguous(),
        directions.float().contiguous(),
        bounds.float().contiguous(),
        ray,
        slot,
        distance,
        points,
        num_rays,
        size,
        BLOCK=block,
        SLOTS=power_of_two(size),
        num_warps=4,
        enable_fp_fusion=False,
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
    # They are changed in place, so no copy of them will do.
    assert transmittance.is_contiguous() and totals.is_contiguous() and depth.is_contiguous()
    num_samples, channels = values.shape
    block = block_size(num_samples, _RAYS)
    launch(
        _accumulate,
        (triton.cdiv(num_samples, block),),
        transmittance,
        totals,
        depth,
        ray.contiguous(),
        t.float().contiguous(),
        density.float().contiguous(),
        values.float().contiguous(),
        step,
        num_samples,
        MIN_TRANSMITTANCE=MIN_TRANSMITTANCE,
        CHANNELS=channels,
        TILE=power_of_two(channels),
        BLOCK=block,
        num_warps=4,
    )


@triton.jit
def _pack(
    t,
    open_samples,
    ends,
    origins,
    directions,
    bounds,
    rays_out,
    slots_out,
    distances_out,
    points_out,
    num_rays,
    size,
    BLOCK: tl.constexpr,
    SLOTS: tl.constexpr,
):
    rays = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    slots = tl.arange(0, SLOTS)
    at = rays[:, None] * size + slots[None, :]
    taken = (rays < num_rays)[:, None] & (slots < size)[None, :]
    taken = taken & (tl.load(open_samples + at, mask=taken, other=0) != 0)
    out = tl.load(ends + at, mask=taken, other=1) - 1
    distance = tl.load(t + at, mask=taken, other=0.0)
    tl.store(rays_out + out, tl.broadcast_to(rays[:, None], [BLOCK, SLOTS]), mask=taken)
    tl.store(slots_out + out, tl.broadcast_to(slots[None, :], [BLOCK, SLOTS]).to(tl.int64), mask=taken)
    tl.store(distances_out + out, distance, mask=taken)
    for AXIS in tl.static_range(3):
        low, high = tl.load(bounds + AXIS), tl.load(bounds + 3 + AXIS)
        origin = tl.load(origins + rays * 3 + AXIS, mask=rays < num_rays, other=0.0)
        direction = tl.load(directions + rays * 3 + AXIS, mask=rays < num_rays, other=0.0)
        position = (origin[:, None] + distance * direction[:, None] - low) / (high - low)
        tl.store(points_out + out * 3 + AXIS, tl.minimum(tl.maximum(position, 0.0), 1.0), mask=taken)


@triton.jit
def _accumulate(
    transmittance,
    totals,
    depth,
    rays,
    t,
    density,
    values,
    step,
    num_samples,
    MIN_TRANSMITTANCE: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # The thread of a ray's first sample owns the ray.
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = i < num_samples
    ray = tl.load(rays + i, mask=exists, other=-1)
    owns = exists & (tl.load(rays + i - 1, mask=exists & (i > 0), other=-1) != ray)
    light = tl.load(transmittance + ray, mask=owns, other=0.0)
    distance = tl.load(depth + ray, mask=owns, other=0.0)
    channel = tl.arange(0, TILE)
    used = owns[:, None] & (channel < CHANNELS)[None, :]
    total = tl.load(totals + ray[:, None] * CHANNELS + channel[None, :], mask=used, other=0.0)
    goes_on = owns
    while tl.max(goes_on.to(tl.int32), axis=0) > 0:
        reached = goes_on & (light >= MIN_TRANSMITTANCE)
        optical_depth = tl.load(density + i, mask=reached, other=0.0) * step
        weight = light * opacity(optical_depth)
        where = reached[:, None] & (channel < CHANNELS)[None, :]
        total += weight[:, None] * tl.load(values + i[:, None] * CHANNELS + channel[None, :], mask=where, other=0.0)
        distance += weight * tl.load(t + i, mask=reached, other=0.0)
        light *= tl.exp(-optical_depth)
        i += 1
        goes_on = goes_on & (i < num_samples)
        goes_on = goes_on & (tl.load(rays + i, mask=goes_on, other=-1) == ray)
    tl.store(transmittance + ray, light, mask=owns)
    tl.store(depth + ray, distance, mask=owns)
    tl.store(totals + ray[:, None] * CHANNELS + channel[None, :], total, mask=used)
