"""Tri-plane encoding through tiny-cuda-nn, plane by plane; see `hash_encoding` beside this file for the layout."""

from __future__ import annotations

import torch
from torch import Tensor

from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.tcnn.hash_encoding import hash_encoding
from ns_talking.kernels.triplane_encoding import PLANES, check_triplane


def triplane_encoding(points: Tensor, tables: Tensor, geometry: GridGeometry) -> Tensor:
    """See `ns_talking.kernels.triplane_encoding.triplane_encoding`."""
    check_triplane(points, tables, geometry)
    planes = [hash_encoding(points[:, list(axes)], table, geometry) for axes, table in zip(PLANES, tables, strict=True)]
    return torch.cat(planes, dim=1)
