"""Tri-plane encoding on the GPU: the kernels of the grid encoding, a program per plane and tile of points."""

from torch import Tensor

from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.triplane_encoding import PLANES, check_triplane
from ns_talking.kernels.triton.hash_encoding import encode


def triplane_encoding(points: Tensor, tables: Tensor, geometry: GridGeometry) -> Tensor:
    """See `ns_talking.kernels.triplane_encoding.triplane_encoding`."""
    check_triplane(points, tables, geometry)
    return encode(points, tables, geometry, PLANES)
