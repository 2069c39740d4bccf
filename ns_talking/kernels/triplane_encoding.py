"""Tri-plane encoding: encode a point in space by its projections onto three planes."""

import torch
from jaxtyping import Float
from torch import Tensor

from ns_talking.kernels.dispatch import op
from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.hash_encoding import hash_encoding

PLANES = ((0, 1), (1, 2), (0, 2))
"""Axes of the planes XY, YZ and XZ, in the order of their tables."""


@op(
    numba="ns_talking.kernels.numba.triplane_encoding:triplane_encoding",
    triton="ns_talking.kernels.triton.triplane_encoding:triplane_encoding",
    tcnn="ns_talking.kernels.tcnn.triplane_encoding:triplane_encoding",
)
def triplane_encoding(
    points: Float[Tensor, "samples 3"],
    tables: Float[Tensor, "3 entries channels"],
    geometry: GridGeometry,
) -> Float[Tensor, "samples features"]:
    """Encode points by three two-dimensional grids, one per coordinate plane.

    Gradients flow to the tables and to the points.

    Source:
        ER-NeRF (Li et al., ICCV 2023), tri-plane hash representation: projections collide O(R^2 + 2 R N) times
        where a volumetric grid collides O(R^2 N) times.

    Args:
        points: Coordinates in [0, 1]. A plane on which the projection lies outside contributes 0.
        tables: Tables of the planes XY, YZ and XZ.
        geometry: Sizes of one plane's grid.

    Returns:
        Features of the planes XY, YZ and XZ side by side, each with its coarsest level first.
    """
    check_triplane(points, tables, geometry)
    features = [
        hash_encoding.reference(points[:, list(axes)], table, geometry)
        for axes, table in zip(PLANES, tables, strict=True)
    ]
    return torch.cat(features, dim=-1)


def check_triplane(points: Tensor, tables: Tensor, geometry: GridGeometry) -> None:
    """Refuse points and tables that do not belong to a tri-plane.

    Raises:
        ValueError: A shape is wrong, or the geometry is not two-dimensional.
    """
    if geometry.dimensions != 2:
        raise ValueError(f"A tri-plane needs the geometry of a 2-D grid, found {geometry.dimensions} dimensions.")
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"A tri-plane encodes points of shape [samples, 3], found {list(points.shape)}.")
    if tuple(tables.shape) != (3, geometry.num_entries, geometry.features_per_level):
        raise ValueError(
            f"The tables of this tri-plane have shape [3, {geometry.num_entries}, {geometry.features_per_level}], "
            f"found {list(tables.shape)}. Were they made for another geometry?"
        )
