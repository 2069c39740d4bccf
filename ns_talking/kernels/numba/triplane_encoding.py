"""Tri-plane encoding on the CPU: the kernels of the grid encoding, once for all three planes."""

from torch import Tensor

from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.numba.hash_encoding import encode
from ns_talking.kernels.triplane_encoding import PLANES, check_triplane


def triplane_encoding(points: Tensor, tables: Tensor, geometry: GridGeometry) -> Tensor:
    """See `ns_talking.kernels.triplane_encoding.triplane_encoding`."""
    check_triplane(points, tables, geometry)
    return encode(points, tables, geometry, PLANES)
