"""A torso under the condition of one picture: folded into what the fused kernel takes, and drawn by it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ns_talking.fields.posed_canvas import EXTENT, PosedCanvas
from ns_talking.kernels.render_canvas import MAX_LEVEL_FEATURES, FoldedCanvas, render_canvas


def draws_fused(torso: PosedCanvas, pixels: Float[Tensor, "rays 2"]) -> bool:
    """Tell whether a torso is drawn by one kernel on the device of these pixels."""
    return torso.grid.features_per_level <= MAX_LEVEL_FEATURES and render_canvas.has_twin_for(pixels)


@torch.no_grad()
def draw_fused(
    torso: PosedCanvas, pixels: Float[Tensor, "rays 2"], head_pose: Float[Tensor, "1 3 4"], frame: Int[Tensor, " 1"]
) -> Float[Tensor, "rays 4"]:
    """Draw a torso as one operation: what the torso itself gives, cut to [0, 1], where it was ever seen.

    Args:
        torso: Canonical picture and networks.
        pixels: Row and column in [-1, 1], from the first to the last pixel.
        head_pose: Camera-to-world of the picture.
        frame: Frame of the picture, for its appearance code.

    Returns:
        Red, green, blue and opacity, 0 where no torso was ever seen.
    """
    return render_canvas(pixels, torso.occupied(pixels), fold_canvas(torso, head_pose, frame))


@torch.no_grad()
def fold_canvas(torso: PosedCanvas, head_pose: Float[Tensor, "1 3 4"], frame: Int[Tensor, " 1"]) -> FoldedCanvas:
    """Fold pose and appearance, the same at every pixel, into constants of both first layers.

    Nothing in it waits for a GPU or copies from the host, so that it can be part of a recorded graph.

    Args:
        torso: Canonical picture and networks.
        head_pose: Camera-to-world of the picture.
        frame: Frame of the picture, for its appearance code.
    """
    deformation_in, deformation_hidden, deformation_out = _weights(torso.deformation_mlp)
    colour_in, colour_hidden, colour_out = _weights(torso.torso_mlp)
    constant = torso.encode_frame(head_pose, frame)[0]
    encoded = deformation_in.shape[1] - len(constant)
    of_place, of_frame = deformation_in.split((encoded, len(constant)), dim=1)
    of_features, colour_of_place, colour_of_frame = colour_in.split(
        (torso.grid.output_dim, encoded, len(constant)), dim=1
    )
    return FoldedCanvas(
        table=torso.table.detach(),
        geometry=torso.grid,
        extent=EXTENT,
        octaves=torso.sizes.pixel_degree,
        deformation=of_place,
        deformation_constant=of_frame @ constant,
        deformation_hidden=deformation_hidden,
        deformation_out=deformation_out,
        features=of_features,
        place=colour_of_place,
        constant=colour_of_frame @ constant,
        hidden=colour_hidden,
        out=colour_out,
        margin=torso.sizes.margin,
    )


def _weights(mlp: nn.Sequential) -> list[Tensor]:
    return [layer.weight.detach() for layer in mlp if isinstance(layer, nn.Linear)]
