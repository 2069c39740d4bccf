"""Draw a posed canvas under one condition: encode, deform, look up and decode as one operation.

While a picture is drawn, pose and appearance are the same at every pixel, so their columns of both first layers fold
into one constant vector each.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ns_talking.kernels.dispatch import op
from ns_talking.kernels.frequency_encoding import frequency_encoding
from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.hash_encoding import hash_encoding

MAX_LEVEL_FEATURES = 16
"""Most features of a level that the twin takes: the depth of one step of a matrix product."""


@dataclass(frozen=True)
class FoldedCanvas:
    """A canvas under one pose and appearance. Matrices map columns to rows; `encoded` is 2 + 4 * octaves."""

    table: Float[Tensor, "entries channels"]
    geometry: GridGeometry
    extent: float
    """Part of the canvas, which spans [-1, 1]^2, that the picture fills."""
    octaves: int
    """Octaves that encode a place."""
    deformation: Float[Tensor, "hidden encoded"]
    """From the encoded place to the first hidden layer of the deformation."""
    deformation_constant: Float[Tensor, " hidden"]
    """From pose and appearance to the same."""
    deformation_hidden: Float[Tensor, "second hidden"]
    """Second layer of the deformation."""
    deformation_out: Float[Tensor, "2 second"]
    """From there to the shift of a place on the canvas."""
    features: Float[Tensor, "inner features"]
    """From the features of the shifted place to the first hidden layer of the colour."""
    place: Float[Tensor, "inner encoded"]
    """From the encoded place, before its shift, to the same."""
    constant: Float[Tensor, " inner"]
    """From pose and appearance to the same."""
    hidden: Float[Tensor, "shade inner"]
    """Second layer of the colour."""
    out: Float[Tensor, "4 shade"]
    """From there to opacity, red, green and blue, before the sigmoid."""
    margin: float
    """How far these may leave [0, 1] before they are cut."""


@op(triton="ns_talking.kernels.triton.render_canvas:render_canvas")
def render_canvas(
    pixels: Float[Tensor, "rays 2"], seen: Bool[Tensor, " rays"], canvas: FoldedCanvas
) -> Float[Tensor, "rays 4"]:
    """Draw pixels without gradients.

    Source:
        RAD-NeRF (Tang et al., 2022), section 3.4, with the folding of the module's docstring; our design.

    Args:
        pixels: Row and column in [-1, 1], from the first to the last pixel.
        seen: Which pixels may show the canvas; the others are empty.
        canvas: The canvas under the picture's condition.

    Returns:
        Red, green, blue and opacity in [0, 1], not premultiplied; all 0 where a pixel is not seen.
    """
    with torch.no_grad():
        place = pixels * canvas.extent
        encoded = frequency_encoding(place, canvas.octaves)
        moved = (encoded @ canvas.deformation.T + canvas.deformation_constant).relu()
        shift = (moved @ canvas.deformation_hidden.T).relu() @ canvas.deformation_out.T
        shifted = ((place + shift).clamp(-1, 1) + 1) / 2
        inner = hash_encoding.reference(shifted, canvas.table, canvas.geometry) @ canvas.features.T
        inner = (inner + encoded @ canvas.place.T + canvas.constant).relu()
        values = ((inner @ canvas.hidden.T).relu() @ canvas.out.T).sigmoid()
        values = (values * (1 + 2 * canvas.margin) - canvas.margin).clamp(0, 1)
        return torch.where(seen[:, None], values[:, [1, 2, 3, 0]], 0.0)
