"""Neck, shoulders and clothes of the procedural person, and the wall behind."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

from ns_talking.data.face_classes import FaceClass
from ns_talking.demo.identity import Identity
from ns_talking.demo.mesh import Mesh, by_corners, grid_mesh

# From the bottom to the neck's top inside the head: z, half width, front y, back y.
_KNOTS = np.array(
    [
        (-1.50, 1.02, -0.42, 0.46),
        (-1.10, 1.00, -0.36, 0.46),
        (-0.96, 0.95, -0.30, 0.45),
        (-0.86, 0.83, -0.24, 0.43),
        (-0.78, 0.65, -0.19, 0.41),
        (-0.71, 0.47, -0.15, 0.39),
        (-0.65, 0.33, -0.12, 0.37),
        (-0.58, 0.245, -0.095, 0.35),
        (-0.48, 0.205, -0.080, 0.33),
        (-0.36, 0.188, -0.065, 0.31),
        (-0.20, 0.175, -0.060, 0.29),
    ]
)


def build_torso(who: Identity) -> tuple[Mesh, Float[np.ndarray, " vertices"]]:
    """Build neck and shoulders in the world of the head at rest.

    Returns:
        The mesh, and how much every vertex follows the head: 0 on the shoulders, nearly 1 at the top of the neck.
    """
    knots = _KNOTS.copy()
    neck = np.clip((np.arange(len(knots)) - 5) / 3.0, 0.0, 1.0)
    knots[:, 1] *= 1.0 + (who.face_width * who.jaw_width - 1.0) * neck
    at = np.concatenate([np.linspace(0, 2, 16, endpoint=False), np.linspace(2, 10, 110)])
    rows = PchipInterpolator(np.arange(len(knots)), knots)(at)
    turn = np.linspace(-np.pi, np.pi, 200, endpoint=False)
    z, width, front, back = (rows[:, [index]] for index in range(4))
    sine, cosine = np.sin(turn)[None], np.cos(turn)[None]
    middle = (front + back) / 2 + 0.02
    y = np.where(cosine > 0, middle + (front - middle) * cosine, middle - (back - middle) * cosine)
    x = width * sine
    z = z + 0.03 * np.where(cosine < 0, -cosine, 0.0) * (z > -0.9)
    positions = np.stack([x, y, z + 0 * x], axis=-1)
    z = positions[..., 2]
    # Collar bones and the notch between the muscles of the neck.
    bones = (
        0.016 * np.exp(-(((z + 0.715 - 0.10 * np.abs(x)) / 0.02) ** 2)) * np.exp(-(((np.abs(x) - 0.17) / 0.12) ** 2))
    )
    cords = 0.010 * np.exp(-(((np.abs(x) - 0.05 - 0.25 * np.clip(z + 0.70, 0, 1)) / 0.03) ** 2)) * (z > -0.70)
    positions[..., 1] -= np.where(cosine > 0, bones + cords, 0.0)
    shirt = _shirt_mask(x, z, cosine)
    positions[..., 1] -= np.where(cosine > 0, 0.016 * shirt, -0.012 * shirt)
    positions[..., 2] += 0.012 * shirt
    folds = 1.0 + 0.10 * np.sin(22.0 * np.abs(x) + 30.0 * z) * np.sin(7.0 * x + 2.0) + 0.06 * np.sin(60.0 * x * z)
    weave = np.random.default_rng(zlib.crc32(who.name.encode())).normal(1.0, 0.03, size=x.shape)
    cloth = np.asarray(who.shirt) * (folds * weave)[..., None]
    hem = np.exp(-(((shirt - 0.6) / 0.25) ** 2))
    cloth = cloth * (1.0 - 0.45 * hem[..., None])
    chin_shadow = 0.55 * np.clip((z + 0.66) / 0.2, 0.0, 1.0) * (0.6 + 0.4 * np.clip(cosine, 0, 1))
    skin = np.asarray(who.skin) * np.array([1.0, 0.95, 0.93]) * (1.0 - chin_shadow[..., None])
    colour = skin * (1.0 - shirt[..., None]) + cloth * shirt[..., None]
    mesh = grid_mesh(positions, np.clip(colour, 0.002, 1.0), FaceClass.NECK, gloss=0.02, wrap=True)
    mesh = replace(mesh, classes=by_corners(np.where(shirt > 0.5, FaceClass.CLOTHES, FaceClass.NECK), mesh.triangles))
    share = np.clip((z + 0.74) / 0.36, 0.0, 1.0)
    share = 0.92 * share * share * (3.0 - 2.0 * share)
    return mesh, share.reshape(-1).astype(np.float32)


def _shirt_mask(x: np.ndarray, z: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """1 on the clothes, 0 on the skin of neck and chest."""
    neckline = -0.645 - np.where(cosine > 0, 0.15 * np.exp(-(np.abs(x / 0.17) ** 2.2)), 0.0) * np.clip(cosine * 3, 0, 1)
    return np.clip((neckline - z) / 0.014 + 0.5, 0.0, 1.0)


def build_wall(who: Identity, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Paint the plate behind the person: a wall in soft light with a blurred shelf and a window's glow."""
    generator = np.random.default_rng(zlib.crc32(who.name.encode()) + 1)
    row, column = np.meshgrid(np.linspace(0, 1, 256), np.linspace(0, 1, 256), indexing="ij")
    wall = np.asarray(who.wall)[None, None] * (1.12 - 0.45 * row - 0.15 * column)[..., None]
    glow = np.exp(-(((column - 0.1) / 0.28) ** 2) - ((row - 0.2) / 0.35) ** 2)
    wall = wall + np.array([0.22, 0.19, 0.14]) * glow[..., None]
    for index in range(9):
        left = 0.72 + 0.033 * index
        top = 0.34 - 0.10 * generator.uniform()
        book = (np.abs(column - left) < 0.014) & (row > top) & (row < 0.50)
        tint = generator.uniform(0.08, 0.5, size=3)
        wall = np.where(book[..., None], 0.55 * tint + 0.45 * wall, wall)
    shelf = (np.abs(row - 0.515) < 0.014) & (column > 0.68)
    wall = np.where(shelf[..., None], np.array([0.20, 0.13, 0.08]), wall)
    wall = gaussian_filter(wall, (3.0, 3.0, 0.0), mode="nearest")
    at = (np.arange(size) + 0.5) / size * 256 - 0.5
    low = np.clip(np.floor(at).astype(int), 0, 254)
    share = np.clip(at - low, 0, 1)
    wall = wall[low] * (1 - share)[:, None, None] + wall[low + 1] * share[:, None, None]
    wall = wall[:, low] * (1 - share)[None, :, None] + wall[:, low + 1] * share[None, :, None]
    return np.round(255 * np.clip(wall, 0, 1) ** (1 / 2.2)).astype(np.uint8)
