"""Volume rendering of a conditioned field through an occupancy grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ns_talking.fields.base import ConditionedField, FieldCondition, FieldDensity
from ns_talking.kernels.composite_rays import composite_rays
from ns_talking.kernels.front_to_back import RayTotals, accumulate_rays, select_samples
from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.march_rays import RaySamplesPadded, march_rays
from ns_talking.kernels.render_triplane import MAX_PLANE_FEATURES, FoldedTriplane, render_triplane
from ns_talking.kernels.spherical_harmonics import spherical_harmonics
from ns_talking.rendering.layers import over
from ns_talking.rendering.occupancy import OccupancyGrid
from ns_talking.rendering.rays import Rays
from ns_talking.utils.halves import in_halves


@dataclass(frozen=True)
class HeadOutputs:
    """The head as seen along rays."""

    rgb: Float[Tensor, "rays 3"]
    """Colour, already weighed by opacity."""
    accumulation: Float[Tensor, "rays 1"]
    """Opacity in [0, 1]."""
    depth: Float[Tensor, "rays 1"]
    """Expected distance along the ray, in world units, times the opacity."""
    audio_attention: Float[Tensor, " rays"]
    """How strongly the ray's samples follow the sound: their sum in training, composited like colour otherwise."""
    eye_attention: Float[Tensor, " rays"]
    """How strongly they follow the blink, in the same way."""
    weights: Float[Tensor, "rays slots"] | None = None
    """Weight of every sample, in training only."""
    t: Float[Tensor, "rays slots"] | None = None
    """Distance of every sample in world units, in training only."""
    composited: Float[Tensor, "rays channels"] | None = None
    """What a method asked to be composited besides; it puts a name to it."""
    uncertainty: Float[Tensor, " rays"] | None = None
    """Composited uncertainty of the colour, in training only."""
    perturbation: Float[Tensor, ""] | None = None
    """How much uncertainty and attention change within 1e-3 units, on the steps that regularise it."""
    shift: Float[Tensor, " rays"] | None = None
    """How far the ray's samples were moved, in world units, summed; in training of a field that moves."""
    roughness: Float[Tensor, ""] | None = None
    """How much neighbouring samples move apart, likewise."""
    logits: Float[Tensor, "rays classes"] | None = None
    """Of the class of each ray, before the softmax, where a method parses what it shows."""
    face_class: Float[Tensor, "rays 1"] | None = None
    """The likeliest class of each ray, while not training."""
    torso_motion: Float[Tensor, "rays 2"] | None = None
    """Composited share of the torso's motion, and composited size in world units of what that does not explain; in
    training of a field that shows the torso too."""
    torso: Float[Tensor, "rays 4"] | None = None
    """Straight colour and opacity of the torso behind the head, where one field shows both; while not training. In
    training such a field's `rgb` and `accumulation` hold head and torso together."""

    def by_name(self) -> dict[str, Tensor]:
        """Give what there is as Nerfstudio's outputs; the colour is called `head_rgb`."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values["head_rgb"] = values.pop("rgb")
        return {name: value for name, value in values.items() if value is not None}

    def own_torso_over(self, plate: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays 3"]:
        """Lay the torso that the field shows over the background; in training it is part of the head."""
        return plate if self.torso is None else over(self.torso[:, :3], self.torso[:, 3:], plate)


@dataclass(frozen=True)
class AlsoComposited:
    """What is composited besides the colour."""

    channels: int
    values: Callable[[FieldDensity], Tensor]
    """Gives [samples, channels] from what the field says of samples."""
    moves_density: bool = True
    """Whether its gradient reaches the density through the weights of the samples."""


@dataclass(frozen=True)
class RaySamples:
    """The occupied samples of a batch of rays, compact, with their places in the padded layout."""

    positions: Float[Tensor, "samples 3"]
    ray: Int[Tensor, " samples"]
    """Which ray each sample lies on."""
    slot: Int[Tensor, " samples"]
    """Place in the flattened `[rays, max_samples]` layout."""
    padded_t: Float[Tensor, "rays slots"]
    """Distance of every slot from its ray's origin."""
    padded_valid: Bool[Tensor, "rays slots"]
    """Which slots hold a sample."""

    def pad(self, values: Float[Tensor, "samples *channels"]) -> Float[Tensor, "rays slots *channels"]:
        """Spread compact values over the padded layout; empty slots hold zeros."""
        num_rays, num_slots = self.padded_t.shape
        padded = values.new_zeros(num_rays * num_slots, *values.shape[1:]).index_copy(0, self.slot, values)
        return padded.view(num_rays, num_slots, *values.shape[1:])


def sample_occupied(
    rays: Rays, grid: OccupancyGrid, step_size: float, max_samples: int, jitter: Float[Tensor, " rays"] | None = None
) -> RaySamples:
    """Place samples on rays where the head may be; gradients reach the rays through the samples' positions.

    Source:
        ER-NeRF and RAD-NeRF: constant steps, at most 16 occupied samples per ray.

    Args:
        rays: Rays.
        grid: Where the head may be.
        step_size: Distance of two samples.
        max_samples: Samples per ray at most.
        jitter: Offset of each ray's lattice in steps, in [0, 1); None puts samples in the middle of their steps.
    """
    marched = _march(rays, grid, step_size, max_samples, jitter)
    slot = marched.valid.view(-1).nonzero()[:, 0]
    ray = slot // marched.valid.shape[1]
    t = marched.t.view(-1)[slot]
    return RaySamples(
        positions=rays.origins[ray] + rays.directions[ray] * t[:, None],
        ray=ray,
        slot=slot,
        padded_t=marched.t,
        padded_valid=marched.valid,
    )


def render_volume(
    field: ConditionedField,
    rays: Rays,
    samples: RaySamples,
    step_size: float,
    audio_code: Float[Tensor, "frames code"],
    blink: Float[Tensor, " frames"],
    appearance: Float[Tensor, "frames appearance"],
    also: AlsoComposited | None = None,
) -> tuple[HeadOutputs, FieldDensity]:
    """Evaluate a field at all samples and composite them, differentiably.

    Args:
        field: Density and colour.
        rays: Rays, each with the row of its frame.
        samples: Their occupied samples.
        step_size: Length that a sample stands for.
        audio_code: Code of each distinct frame.
        blink: Blink value of each distinct frame.
        appearance: Appearance code of each distinct frame.
        also: What shall be composited besides.

    Returns:
        The head along each ray, and the field's values at the samples.
    """
    condition = FieldCondition(audio_code, blink, rays.row)
    harmonics = spherical_harmonics(rays.directions, 4)
    at, colour = _evaluate(field, samples.positions, samples.ray, condition, harmonics, appearance[rays.row])
    attention = torch.stack([at.audio_attention, at.eye_attention], dim=1).float()
    besides = None if also is None else also.values(at).float()
    weighted = besides if also is not None and also.moves_density else None
    composite = composite_rays(
        samples.pad(at.density),
        step_size,
        samples.pad(colour.float()),
        samples.pad(attention),
        None if weighted is None else samples.pad(weighted),
        samples.padded_t,
        samples.padded_valid,
    )
    composited = None if besides is None else composite.weighted
    if besides is not None and weighted is None:
        composited = (composite.weights.detach()[..., None] * samples.pad(besides)).sum(dim=1)
    head = HeadOutputs(
        rgb=composite.rgb,
        accumulation=composite.accumulation[:, None],
        depth=composite.depth[:, None],
        audio_attention=composite.auxiliary[:, 0],
        eye_attention=composite.auxiliary[:, 1],
        weights=composite.weights,
        t=samples.padded_t,
        composited=composited,
    )
    return head, at


@torch.no_grad()
def render_visible(
    field: ConditionedField,
    rays: Rays,
    grid: OccupancyGrid,
    step_size: float,
    max_samples: int,
    audio_code: Float[Tensor, "frames code"],
    blink: Float[Tensor, " frames"],
    appearance: Float[Tensor, "frames appearance"],
    also: AlsoComposited | None = None,
) -> HeadOutputs:
    """Render without gradients, front to back, leaving out what is hidden: the same picture for half the work.

    Args:
        field: Density and colour.
        rays: Rays, each with the row of its frame.
        grid: Where the head may be.
        step_size: Distance of two samples.
        max_samples: Samples per ray at most.
        audio_code: Code of each distinct frame.
        blink: Blink value of each distinct frame.
        appearance: Appearance code of each distinct frame.
        also: What shall be composited besides.
    """
    marched = _march(rays, grid, step_size, max_samples, None)
    # Samples fill the slots from the first one on.
    hit = marched.valid[:, 0].nonzero()[:, 0]
    hitting = Rays(rays.origins[hit], rays.directions[hit], rays.pixels[hit], rays.row[hit])
    marched = RaySamplesPadded(**{entry.name: getattr(marched, entry.name)[hit] for entry in fields(marched)})
    harmonics = spherical_harmonics(hitting.directions, 4)
    condition = FieldCondition(audio_code, blink, hitting.row)
    of_rays = appearance[hitting.row]
    low, high = grid.bounds
    channels = 5 + (0 if also is None else also.channels)
    totals = RayTotals.start(len(hit), channels=channels, device=rays.origins.device)
    for first in range(0, max_samples, _GROUP):
        group = select_samples(
            marched, hitting.origins, hitting.directions, grid.bounds, totals.transmittance, first, _GROUP
        )
        positions = low + group.points * (high - low)
        at, colour = _evaluate(field, positions, group.ray, condition, harmonics, of_rays)
        values = [colour, at.audio_attention[:, None], at.eye_attention[:, None]]
        if also is not None:
            values.append(also.values(at))
        accumulate_rays(totals, group, at.density, torch.cat(values, dim=1).float(), step_size)
    values = totals.values.new_zeros(len(rays), channels).index_copy(0, hit, totals.values)
    return HeadOutputs(
        rgb=values[:, :3],
        accumulation=values.new_zeros(len(rays)).index_copy(0, hit, 1 - totals.transmittance)[:, None],
        depth=values.new_zeros(len(rays)).index_copy(0, hit, totals.depth)[:, None],
        audio_attention=values[:, 3],
        eye_attention=values[:, 4],
        composited=None if also is None else values[:, 5:],
    )


def renders_fused(planes: GridGeometry, points: Float[Tensor, "rays 3"]) -> bool:
    """Tell whether `render_folded` runs as one kernel for planes of these sizes on the device of these points."""
    return planes.output_dim <= MAX_PLANE_FEATURES and render_triplane.has_twin_for(points)


@torch.no_grad()
def render_folded(
    field: FoldedTriplane, rays: Rays, grid: OccupancyGrid, step_size: float, max_samples: int
) -> HeadOutputs:
    """Render a tri-plane field that was folded under the condition of a picture: the picture of `render_visible`.

    Args:
        field: Density and colour under one condition.
        rays: Rays of the picture.
        grid: Where the head may be.
        step_size: Distance of two samples.
        max_samples: Samples per ray at most.
    """
    totals = render_triplane(
        rays.origins, rays.directions, grid.bounds, grid.occupied, field, step_size, max_samples, rays.picture_width
    )
    return HeadOutputs(
        rgb=totals.values[:, :3],
        accumulation=1 - totals.transmittance[:, None],
        depth=totals.depth[:, None],
        audio_attention=totals.values[:, 3],
        eye_attention=totals.values[:, 4],
    )


def _evaluate(
    field: ConditionedField,
    positions: Float[Tensor, "samples 3"],
    ray: Int[Tensor, " samples"],
    of_rays: FieldCondition,
    harmonics: Float[Tensor, "rays harmonics"],
    appearance: Float[Tensor, "rays appearance"],
) -> tuple[FieldDensity, Float[Tensor, "samples 3"]]:
    """Ask a field about samples; `of_rays` has one frame per ray.

    On a CPU the field sees a whole number of blocks of samples: oneDNN prepares itself anew for every number of rows
    that it has not met yet, which takes as long as the multiplication.
    """
    count = len(ray)
    if positions.device.type != "cpu":
        return _of_samples(field, positions, ray, of_rays, harmonics, appearance)
    missing = -count % _BLOCK
    positions, ray = F.pad(positions, (0, 0, 0, missing)), F.pad(ray, (0, missing))
    names: list[str] = []

    def values(positions: Tensor, ray: Tensor, *shared: Tensor) -> tuple[Tensor, ...]:
        code, blink, harmonics, appearance, *given = shared
        at, colour = _of_samples(
            field.with_given(given),
            positions,
            ray,
            FieldCondition(code, blink, of_rays.frame_row),
            harmonics,
            appearance,
        )
        known = {entry.name: getattr(at, entry.name) for entry in fields(at)}
        names[:] = [name for name, value in known.items() if value is not None]
        return colour, *[known[name] for name in names]

    shared = [of_rays.audio_code, of_rays.blink, harmonics, appearance, *field.given()]
    colour, *others = in_halves(values, [positions, ray], shared, list(field.parameters()), _BLOCK)
    cut = {name: value[:count] for name, value in zip(names, others, strict=True)}
    return FieldDensity(**cut), colour[:count]


def _of_samples(
    field: ConditionedField,
    positions: Float[Tensor, "samples 3"],
    ray: Int[Tensor, " samples"],
    of_rays: FieldCondition,
    harmonics: Float[Tensor, "rays harmonics"],
    appearance: Float[Tensor, "rays appearance"],
) -> tuple[FieldDensity, Float[Tensor, "samples 3"]]:
    at = field.density(positions, replace(of_rays, frame_row=of_rays.frame_row[ray]))
    return at, field.colour(at.geometry, harmonics, appearance, ray)


def _march(
    rays: Rays, grid: OccupancyGrid, step_size: float, max_samples: int, jitter: Float[Tensor, " rays"] | None
) -> RaySamplesPadded:
    if jitter is None:
        jitter = rays.origins.new_full((len(rays),), 0.5)
    return march_rays(rays.origins, rays.directions, grid.bounds, grid.occupied, step_size, max_samples, jitter)


_BLOCK = 1024
"""Samples that a field sees a multiple of on a CPU."""
_GROUP = 4
"""Samples per ray between two looks at what is still visible; measured best on a CPU."""
