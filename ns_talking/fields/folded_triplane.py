"""Fold a tri-plane field under the condition of one picture; see `ns_talking.kernels.render_triplane`."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ns_talking.fields.triplane import TriplaneField
from ns_talking.kernels.render_triplane import FoldedTriplane
from ns_talking.modules.decoders import DIRECTION_DIM, MAX_LOG_DENSITY


@torch.no_grad()
def fold(
    field: TriplaneField,
    audio_code: Float[Tensor, "1 code"],
    blink: Float[Tensor, " 1"],
    appearance: Float[Tensor, "1 appearance"],
) -> FoldedTriplane:
    """Fold what is constant in one picture into the field's matrices.

    Args:
        field: Planes and decoders.
        audio_code: Code of the picture's frame.
        blink: Blink value of the frame.
        appearance: Appearance code of the frame.
    """
    attention_in, attention_out = _weights(field.audio_attention.mlp)
    eye_in, eye_out = _weights(field.eye_attention.mlp)
    density_in, density_hidden, density_out = _weights(field.density_mlp)
    colour_in, colour_out = _weights(field.colour_mlp)
    of_features, of_code, of_blink = density_in.split((attention_in.shape[1], audio_code.shape[1], 1), dim=1)
    of_direction, of_geometry, of_appearance = colour_in.split(
        (DIRECTION_DIM, field.config.geometry_dim, appearance.shape[1]), dim=1
    )
    direction = of_direction.clone()
    direction[:, 0] += (of_appearance @ appearance[0]) / _CONSTANT_HARMONIC
    return FoldedTriplane(
        tables=field.planes.detach(),
        geometry=field.grid,
        attention=attention_in,
        strength=attention_out,
        eye=eye_in,
        eye_out=eye_out[0],
        density=of_features,
        density_of_attention=(of_code * audio_code) @ attention_out,
        density_of_eye=of_blink[:, 0] * blink,
        hidden=density_hidden,
        log_density=density_out[0],
        max_log_density=MAX_LOG_DENSITY,
        colour=of_geometry @ density_out[1:],
        direction=direction,
        colour_out=colour_out,
        colour_margin=field.colour_mlp.margin,
    )


_CONSTANT_HARMONIC = 0.5 / math.sqrt(math.pi)
"""The harmonic of degree 0."""


def _weights(mlp: nn.Sequential) -> list[Tensor]:
    return [layer.weight.detach() for layer in mlp if isinstance(layer, nn.Linear)]
