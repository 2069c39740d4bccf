"""Triangle meshes of the procedural head: one container, grids, and how meshes are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

ALBEDO, GLOSS, NORMAL, NUM_CHANNELS = 0, 3, 4, 7
"""Channels of the rasteriser: linear albedo rgb, gloss, normal xyz."""


@dataclass(frozen=True)
class Mesh:
    """Vertices with a colour, triangles with a class of the face."""

    positions: Float[np.ndarray, "vertices 3"]
    albedo: Float[np.ndarray, "vertices 3"]
    """Linear RGB, with baked occlusion."""
    gloss: Float[np.ndarray, " vertices"]
    triangles: Int[np.ndarray, "triangles 3"]
    """Counter-clockwise seen from outside."""
    classes: UInt8[np.ndarray, " triangles"]
    """Value of `ns_talking.data.face_classes.FaceClass` of every triangle."""
    two_sided: Bool[np.ndarray, " triangles"]
    weld: Int[np.ndarray, " vertices"]
    """Vertices with the same entry share one normal."""


def grid_triangles(rows: int, columns: int, wrap: bool = False) -> Int[np.ndarray, "triangles 3"]:
    """Triangulate a grid of vertices stored row by row.

    Counter-clockwise when rows grow upwards and columns grow to the right as seen from outside.

    Args:
        rows: Rows of vertices.
        columns: Columns of vertices.
        wrap: Whether the last column joins the first.
    """
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, axis=1)
    if not wrap:
        index, right = index[:, :-1], right[:, :-1]
    a, b, c, d = index[:-1], right[:-1], right[1:], index[1:]
    return np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2).reshape(-1, 3).astype(np.int32)


def grid_mesh(
    positions: Float[np.ndarray, "rows columns 3"],
    albedo: Float[np.ndarray, "*shape"],
    face_class: int,
    gloss: float = 0.0,
    wrap: bool = False,
    two_sided: bool = False,
) -> Mesh:
    """Make a mesh of one class out of a grid of vertices.

    Args:
        positions: Grid of vertices; see `grid_triangles` for its orientation.
        albedo: Linear RGB; one colour or one per vertex.
        face_class: Class of all triangles.
        gloss: Strength of the highlight.
        wrap: Whether the last column joins the first.
        two_sided: Whether the inside is visible too.
    """
    rows, columns = positions.shape[:2]
    triangles = grid_triangles(rows, columns, wrap)
    num_vertices = rows * columns
    return Mesh(
        positions=positions.reshape(-1, 3).astype(np.float32),
        albedo=np.ascontiguousarray(np.broadcast_to(albedo, positions.shape).reshape(-1, 3), dtype=np.float32),
        gloss=np.full(num_vertices, gloss, dtype=np.float32),
        triangles=triangles,
        classes=np.full(len(triangles), face_class, dtype=np.uint8),
        two_sided=np.full(len(triangles), two_sided),
        weld=np.arange(num_vertices, dtype=np.int32),
    )


def by_corners(
    classes: Int[np.ndarray, "rows columns"], triangles: Int[np.ndarray, "triangles 3"]
) -> UInt8[np.ndarray, " triangles"]:
    """Class of every triangle: that of at least two of its corners, else of the first."""
    a, b, c = classes.reshape(-1)[triangles].T
    return np.where((b == c) & (a != b), b, a).astype(np.uint8)


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Put meshes into one, vertices in the order of the arguments."""
    offsets = np.cumsum([0] + [len(mesh.positions) for mesh in meshes[:-1]])
    return Mesh(
        positions=np.concatenate([mesh.positions for mesh in meshes]),
        albedo=np.concatenate([mesh.albedo for mesh in meshes]),
        gloss=np.concatenate([mesh.gloss for mesh in meshes]),
        triangles=np.concatenate([m.triangles + o for m, o in zip(meshes, offsets, strict=True)]).astype(np.int32),
        classes=np.concatenate([mesh.classes for mesh in meshes]),
        two_sided=np.concatenate([mesh.two_sided for mesh in meshes]),
        weld=np.concatenate([m.weld + o for m, o in zip(meshes, offsets, strict=True)]).astype(np.int32),
    )
