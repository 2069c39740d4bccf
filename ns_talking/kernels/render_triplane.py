"""Render a tri-plane field under one condition: march, encode, decode and composite as one operation.

While a picture is drawn, sound, blink and appearance are the same everywhere, so the field's matrices fold into fewer.
With the features f of a point, A1 and A2 the layers of the audio attention, c the audio code, e the eye attention in
[0, 1] times the blink b, and W = [W_f W_c w_b] the first layer of the density decoder,

    W [f; (A2 relu(A1 f)) * c; b e] = W_f f + (W_c diag(c) A2) relu(A1 f) + (b w_b) e,

where W_c diag(c) A2 is one matrix per picture. The last layer of the density decoder and the geometry's columns of the
first colour layer have nothing between them and fold into one as well. What depends on the ray alone enters the first
colour layer through the spherical harmonics of its direction, the appearance code being a constant among them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ns_talking.kernels.composite_rays import composite_rays
from ns_talking.kernels.dispatch import op
from ns_talking.kernels.front_to_back import RayTotals
from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.march_rays import march_rays
from ns_talking.kernels.region_gate import TINY
from ns_talking.kernels.spherical_harmonics import spherical_harmonics
from ns_talking.kernels.triplane_encoding import triplane_encoding

MAX_PLANE_FEATURES = 16
"""Most features of a plane that the twin takes: the depth of one step of a matrix product."""
MIDDLE = 0.5
"""Samples lie in the middle of their steps."""


@dataclass(frozen=True)
class FoldedTriplane:
    """A tri-plane field under one audio code, blink and appearance. Matrices map columns to rows."""

    tables: Float[Tensor, "3 entries channels"]
    geometry: GridGeometry
    attention: Float[Tensor, "attention features"]
    """First layer of the audio attention."""
    strength: Float[Tensor, "code attention"]
    """Its second layer, whose result is as long as the attention is strong."""
    eye: Float[Tensor, "eye features"]
    """First layer of the eye attention."""
    eye_out: Float[Tensor, " eye"]
    """Its second layer, before the sigmoid."""
    density: Float[Tensor, "hidden features"]
    """From features to the first hidden layer of the density."""
    density_of_attention: Float[Tensor, "hidden attention"]
    """From the audio attention's hidden layer to the same."""
    density_of_eye: Float[Tensor, " hidden"]
    """From the eye attention to the same."""
    hidden: Float[Tensor, "second hidden"]
    """Second layer of the density decoder."""
    log_density: Float[Tensor, " second"]
    """Its last layer's row of the logarithm of the density."""
    max_log_density: float
    """Where that logarithm is cut."""
    colour: Float[Tensor, "shade second"]
    """From the second hidden layer of the density to the hidden layer of the colour."""
    direction: Float[Tensor, "shade 16"]
    """From the harmonics of the viewing direction to the same, the appearance folded into the first."""
    colour_out: Float[Tensor, "3 shade"]
    """From there to the colour, before the sigmoid."""
    colour_margin: float
    """How far colours may leave [0, 1]."""


@op(triton="ns_talking.kernels.triton.render_triplane:render_triplane")
def render_triplane(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    bounds: Float[Tensor, "2 3"],
    occupancy: Bool[Tensor, "width depth height"],
    field: FoldedTriplane,
    step: float,
    max_samples: int,
    picture_width: int = 0,
) -> RayTotals:
    """Render rays without gradients.

    Source:
        ER-NeRF (Li et al., ICCV 2023), sections 3.2 and 3.3, with the folding of the module's docstring; our design.

    Args:
        origins: Ray origins in world units.
        directions: Unit vectors.
        bounds: Lowest and highest corner of the box that the occupancy spans; the field spans [-1, 1]^3.
        occupancy: Which voxels may hold matter, indexed [x, y, z].
        field: The field under the picture's condition.
        step: Distance between samples in world units.
        max_samples: Most samples per ray.
        picture_width: Rays per row, where the rays are those of a picture row by row; 0 where they are not. It
            decides which rays are worked on together and changes nothing else.

    Returns:
        Totals of every ray; the channels are red, green, blue, audio attention and eye attention.
    """
    del picture_width
    with torch.no_grad():
        jitter = torch.full_like(origins[:, 0], MIDDLE)
        samples = march_rays.reference(origins, directions, bounds, occupancy, step, max_samples, jitter)
        low, size = bounds[0], bounds[1] - bounds[0]
        position = origins[:, None] + samples.t[..., None] * directions[:, None]
        position = low + ((position - low) / size).clamp(0, 1) * size
        features = triplane_encoding.reference((position.flatten(0, 1) + 1) / 2, field.tables, field.geometry)
        listening = (features @ field.attention.T).relu()
        strength = ((listening @ field.strength.T).square().sum(dim=1) + TINY).sqrt()
        eye = ((features @ field.eye.T).relu() @ field.eye_out).sigmoid()
        inner = features @ field.density.T + listening @ field.density_of_attention.T
        inner = (inner + eye[:, None] * field.density_of_eye).relu()
        second = (inner @ field.hidden.T).relu()
        density = (second @ field.log_density).clamp(max=field.max_log_density).exp()
        per_ray = spherical_harmonics.reference(directions) @ field.direction.T
        shade = (second @ field.colour.T + per_ray.repeat_interleave(max_samples, dim=0)).relu()
        rgb = (shade @ field.colour_out.T).sigmoid() * (1 + 2 * field.colour_margin) - field.colour_margin
        shape = samples.t.shape
        result = composite_rays.reference(
            density.view(shape),
            step,
            rgb.view(*shape, 3),
            None,
            torch.stack([strength, eye], dim=1).view(*shape, 2),
            samples.t,
            samples.valid,
        )
    return RayTotals(1 - result.accumulation, torch.cat([result.rgb, result.weighted], dim=1), result.depth)
