"""Colours, hair, classes and landmarks of the procedural head's skin."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from ns_talking.data.face_classes import FaceClass
from ns_talking.demo.identity import Identity
from ns_talking.demo.mesh import Mesh, by_corners, grid_mesh
from ns_talking.demo.skull import EYE_HALF_WIDTH, EYE_X, MOUTH_Z, Skull

_HAIRLINE_DEG = np.array([0, 25, 45, 58, 70, 80, 88, 96, 115, 145, 180], dtype=float)
_HAIRLINE_Z = np.array([0.43, 0.435, 0.40, 0.31, 0.15, 0.05, 0.05, 0.12, -0.04, -0.21, -0.25])


@dataclass(frozen=True)
class Face:
    """Skin and short hair of one identity."""

    skull: Skull
    mesh: Mesh
    landmarks: Int[np.ndarray, "68"]
    """Vertex of every landmark of the iBUG scheme."""


def build_face(who: Identity, skull: Skull) -> Face:
    """Paint a skull, grow hair on it, cut the slits and find the landmarks."""
    hair = _hair_mask(who, skull)
    positions = _grow_hair(who, skull, hair)
    albedo, gloss = _paint(who, skull, hair)
    mesh = grid_mesh(positions, albedo, FaceClass.SKIN, wrap=True)
    rows, columns = positions.shape[:2]
    keep, weld = _cut_slits(skull, rows, columns)
    mesh = replace(
        mesh,
        gloss=gloss.reshape(-1).astype(np.float32),
        triangles=mesh.triangles[keep],
        classes=by_corners(_classes(who, skull, hair), mesh.triangles)[keep],
        two_sided=mesh.two_sided[keep],
        weld=weld,
    )
    return Face(skull, mesh, _find_landmarks(who, skull))


def in_eye_slit(skull: Skull) -> Bool[np.ndarray, " columns"]:
    """Tell which columns of the eyes' rows part when the eyes open."""
    x = skull.positions[skull.eye_rows[0], :, 0]
    front = np.cos(skull.azimuth) > 0
    return (np.abs(np.abs(x) - EYE_X) < EYE_HALF_WIDTH) & front


def in_mouth_slit(skull: Skull) -> Bool[np.ndarray, " columns"]:
    """Tell which columns of the mouth's rows part when the mouth opens."""
    x = skull.positions[skull.mouth_rows[0], :, 0]
    return (np.abs(x) < skull.mouth_half_width) & (np.cos(skull.azimuth) > 0)


def _cut_slits(skull: Skull, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Say which triangles stay, and which vertices share their normal across a closed seam."""
    keep = np.ones((rows - 1, columns, 2), dtype=bool)
    weld = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    for (low, high), parted in ((skull.mouth_rows, in_mouth_slit(skull)), (skull.eye_rows, in_eye_slit(skull))):
        keep[(low + high) // 2, parted | np.roll(parted, -1)] = False
        for row in range(low + 1, high + 1):
            weld[row, ~parted] = weld[low, ~parted]
    return keep.reshape(-1), weld.reshape(-1)


def _lip_mask(who: Identity, skull: Skull) -> Float[np.ndarray, "rows columns"]:
    """1 on the red of the lips, 0 elsewhere, with a soft edge."""
    x, z = skull.positions[..., 0], skull.positions[..., 2]
    height = z - skull.positions[skull.mouth_rows[0], :, 2][None]
    taper = np.clip(1.0 - (x / (1.01 * skull.mouth_half_width)) ** 2, 0.0, None)
    upper = 0.036 * who.lip_thickness * taper**0.7 * (1.0 - 0.16 * np.exp(-((x / 0.016) ** 2)))
    lower = 0.044 * who.lip_thickness * taper**0.6
    row = np.arange(len(z))[:, None]
    edge = np.where(row >= (skull.mouth_rows[0] + skull.mouth_rows[1]) / 2, upper - height, lower + height)
    mask = 1.0 / (1.0 + np.exp(-np.clip(edge / 0.0025, -30, 30)))
    return mask * (np.cos(skull.azimuth) > 0.3)[None] * (taper > 0)


def _classes(who: Identity, skull: Skull, hair: np.ndarray) -> Int[np.ndarray, "rows columns"]:
    """Class of every vertex; where something is more than half there, it is."""
    classes = np.full(skull.positions.shape[:2], FaceClass.SKIN, dtype=np.int64)
    for face_class, there in (
        (FaceClass.NOSE, _nose_mask(who, skull)),
        (FaceClass.BROWS, _brow_mask(who, skull) > 0.5),
        (FaceClass.HAIR, hair > 0.5),
        (FaceClass.LIPS, _lip_mask(who, skull) > 0.5),
    ):
        classes[there] = face_class
    return classes


def _brow_mask(who: Identity, skull: Skull) -> Float[np.ndarray, "rows columns"]:
    """1 on the brows, with a soft edge."""
    x, z = skull.positions[..., 0], skull.positions[..., 2]
    arch = 0.205 + 0.022 * np.cos(np.clip((np.abs(x) - 0.155) / 0.09, -1.3, 1.3) * 1.5) + 0.01 * (np.abs(x) < 0.15)
    half = 0.018 * who.brow_thickness * np.clip((0.272 - np.abs(x)) / 0.12, 0.25, 1.0)
    span = np.clip((np.abs(x) - 0.058) / 0.025, 0, 1) * np.clip((0.262 - np.abs(x)) / 0.04, 0, 1)
    return np.exp(-(np.abs((z - arch) / (half + 1e-6)) ** 4)) * span * (np.cos(skull.azimuth)[None] > 0.0)


def _nose_mask(who: Identity, skull: Skull) -> Bool[np.ndarray, "rows columns"]:
    """Where the nose is: from between the eyes to below its tip, as wide as its wings."""
    x, z = skull.positions[..., 0], skull.positions[..., 2]
    tip = _nose_tip_z(who)
    half = who.nose_width * np.interp(z, [tip - 0.055, tip - 0.012, 0.145], [0.055, 0.085, 0.03], left=0, right=0)
    return (np.abs(x) < half) & (np.cos(skull.azimuth)[None] > 0.0)


def _nose_tip_z(who: Identity) -> float:
    return 0.135 - 0.185 * who.nose_length


def _noise(name: str, knots: int, at: np.ndarray) -> np.ndarray:
    """Smooth random values with period 1 in `at`, the same for the same name."""
    values = np.random.default_rng(zlib.crc32(name.encode())).normal(size=knots)
    return np.interp(np.mod(at, 1.0) * knots, np.arange(knots + 1), np.append(values, values[0]))


def _hair_mask(who: Identity, skull: Skull) -> Float[np.ndarray, "rows columns"]:
    degrees = np.degrees(np.abs(skull.azimuth))
    line = np.interp(degrees, _HAIRLINE_DEG, _HAIRLINE_Z)
    line = line + who.hairline * np.exp(-((degrees / 50.0) ** 2))
    line = line + 0.007 * _noise(who.name + "line", 90, skull.azimuth / (2 * np.pi))
    height = skull.positions[..., 2] - line[None]
    # A parting: hair falls a little lower on one side of the forehead.
    height = height + 0.025 * np.exp(-(((skull.positions[..., 0] + 0.12) / 0.10) ** 2)) * (degrees < 60)[None]
    return np.clip(height / 0.030 + 0.5, 0.0, 1.0) * (skull.knot > 5.0)[:, None]


def _grow_hair(who: Identity, skull: Skull, hair: np.ndarray) -> Float[np.ndarray, "rows columns 3"]:
    """Lift the scalp along its outward direction."""
    positions = skull.positions.copy()
    outward = positions - np.array([0.0, 0.05, 0.18])
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    top = np.clip((positions[..., 2] - 0.2) / 0.4, 0.0, 1.0)
    around = skull.azimuth[None] / (2 * np.pi)
    locks = 1.0 + 0.16 * _noise(who.name + "locks", 60, around + 0.12 * positions[..., 2])
    thickness = who.hair_volume * (0.028 + 0.05 * top) * locks
    ramp = np.clip((hair - 0.15) / 0.85, 0.0, 1.0)
    return positions + outward * (thickness * ramp**0.8)[..., None]


def _paint(who: Identity, skull: Skull, hair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour every vertex: skin with its blush and shadows, lips, brows, lashes, beard, hair."""
    x, z = skull.positions[..., 0], skull.positions[..., 2]
    front = np.cos(skull.azimuth)[None] > 0.0
    azimuth = skull.azimuth[None] + 0.0 * z

    def spot(cx: float, cz: float, sx: float, sz: float) -> np.ndarray:
        return np.exp(-(((np.abs(x) - cx) / sx) ** 2) - ((z - cz) / sz) ** 2) * front

    def blend(base: np.ndarray, colour: np.ndarray, share: np.ndarray) -> np.ndarray:
        return base * (1.0 - share[..., None]) + colour * share[..., None]

    skin, red = np.asarray(who.skin), np.array([1.0, 0.62, 0.58])
    tip = _nose_tip_z(who)
    freckle = _noise(who.name + "skin", 211, azimuth * 3.7 + z * 5.3) * 0.015
    colour = skin * (1.0 + freckle[..., None])
    blush = 0.45 * spot(0.22, -0.02, 0.10, 0.08) + 0.35 * spot(0.0, tip, 0.05, 0.05) + 0.2 * spot(0.0, -0.4, 0.1, 0.05)
    colour = blend(colour, skin * red, blush)
    shadow = (
        0.40 * spot(0.105, 0.135, 0.035, 0.045)
        + 0.22 * spot(0.16, 0.165, 0.08, 0.022)
        + 0.16 * spot(0.155, 0.055, 0.06, 0.02)
        + 0.75 * spot(0.026 * who.nose_width, tip - 0.042, 0.014, 0.011)
        + 0.30 * spot(0.075 * who.nose_width, tip - 0.02, 0.012, 0.03)
        + 0.25 * spot(0.0, MOUTH_Z - 0.068, 0.07, 0.018)
        + 0.28 * spot(skull.mouth_half_width + 0.008, MOUTH_Z - 0.002, 0.016, 0.014)
        + 0.12 * spot(0.13, -0.13, 0.02, 0.05)
    )
    under_chin = np.clip((2.9 - skull.knot) / 1.2, 0.0, 1.0)[:, None] * 0.45 + 0.0 * z
    colour = colour * (1.0 - np.clip(shadow + under_chin, 0.0, 0.85))[..., None]
    if who.beard > 0.0:
        colour = blend(colour, np.asarray(who.hair) * 1.6 + 0.02, who.beard * _beard_mask(skull, tip))
    lips = _lip_mask(who, skull)
    seam = 1.0 - 0.35 * np.exp(-(((z - skull.positions[skull.mouth_rows[0], :, 2][None]) / 0.006) ** 2))
    colour = blend(colour, np.asarray(who.lips) * seam[..., None], lips * 0.92)
    colour = blend(colour, np.asarray(who.hair) * 0.9, 0.9 * _brow_mask(who, skull))
    colour = blend(colour, np.asarray(who.hair) * 0.25 + 0.004, _lash_mask(skull))
    around = skull.azimuth[None] / (2 * np.pi)
    strands = 0.20 * _noise(who.name + "strand", 330, around + 0.03 * np.sin(9 * z)) + 0.12 * _noise(
        who.name + "wisp", 120, around * 2 + 0.25 * z
    )
    tint = (
        np.asarray(who.hair)
        * np.clip(1.0 + strands, 0.35, 1.7)[..., None]
        * (0.75 + 0.5 * np.clip(z, 0, 0.7))[..., None]
    )
    colour = blend(colour, tint, np.clip(hair * 1.3 - 0.15, 0.0, 1.0))
    gloss = 0.035 + 0.07 * lips + 0.03 * spot(0.0, tip, 0.04, 0.08) + 0.02 * spot(0.0, 0.3, 0.2, 0.08) - 0.02 * hair
    return np.clip(colour, 0.002, 1.0), gloss


def _beard_mask(skull: Skull, tip: float) -> np.ndarray:
    """1 where a short beard and a moustache grow."""
    x, z = skull.positions[..., 0], skull.positions[..., 2]
    degrees = np.degrees(np.abs(skull.azimuth))[None]
    line = np.interp(degrees, [0, 18, 30, 50, 70, 80, 100], [-0.29, -0.26, -0.20, -0.14, -0.02, 0.03, -0.3]) + 0 * z
    chin = np.clip((line - z) / 0.035, 0.0, 1.0) * (degrees < 95)
    lip = np.exp(-(np.abs((z - (tip - 0.115)) / 0.024) ** 4)) * np.exp(-(np.abs(x / 0.125) ** 6))
    side = np.exp(-(((np.abs(x) - 0.15) / 0.022) ** 2)) * ((z < tip - 0.1) & (z > -0.33))
    return np.clip(chin + lip + side, 0.0, 1.0) * (np.cos(skull.azimuth)[None] > 0)


def _lash_mask(skull: Skull) -> np.ndarray:
    """1 on the edge of the upper lids, weaker on the lower ones."""
    mask = np.zeros(skull.positions.shape[:2])
    inside = in_eye_slit(skull)
    low, high = skull.eye_rows
    mask[high - 1 : high + 1, inside] = 0.95
    mask[high + 1, inside] = 0.6
    mask[low, inside] = 0.35
    return mask


def _find_landmarks(who: Identity, skull: Skull) -> Int[np.ndarray, "68"]:
    """Pick the vertex of every landmark; image left first, as the scheme wants it."""
    columns = len(skull.azimuth)
    front = np.flatnonzero(np.cos(skull.azimuth) > 0.05)
    x, z = skull.positions[..., 0], skull.positions[..., 2]

    def at(px: float, pz: float) -> int:
        distance = (x[:, front] - px) ** 2 + (z[:, front] - pz) ** 2
        distance[: np.searchsorted(skull.knot, 2.5)] = np.inf
        row, column = np.unravel_index(np.argmin(distance), distance.shape)
        return int(row) * columns + int(front[column])

    def on_row(row: int, px: float) -> int:
        return row * columns + int(front[np.argmin(np.abs(x[row, front] - px))])

    def jaw(index: int) -> int:
        angle = np.radians(86.0 * (index - 8) / 8)
        knot = np.interp(abs(index - 8), [0, 1, 2, 3, 4, 5, 6, 7, 8], [3.0, 3.1, 3.4, 4.0, 4.7, 5.6, 6.6, 7.6, 8.6])
        row = int(np.argmin(np.abs(skull.knot - knot)))
        return row * columns + int(np.argmin(np.abs(skull.azimuth - angle)))

    tip = _nose_tip_z(who)
    brow = [(0.255, 0.205), (0.215, 0.232), (0.165, 0.24), (0.115, 0.233), (0.065, 0.218)]
    left_brow = [at(-bx, bz) for bx, bz in brow]
    right_brow = [at(bx, bz) for bx, bz in brow[::-1]]
    nose = [at(0.0, 0.13 + (tip - 0.13) * share) for share in (0.0, 0.34, 0.67, 1.0)]
    base = [at(px * who.nose_width, tip - 0.05 + 0.01 * abs(px) / 0.07) for px in (-0.07, -0.035, 0.0, 0.035, 0.07)]
    low_lid, high_lid = skull.eye_rows
    inner, outer = EYE_X - EYE_HALF_WIDTH, EYE_X + EYE_HALF_WIDTH
    near, far = EYE_X - EYE_HALF_WIDTH / 3, EYE_X + EYE_HALF_WIDTH / 3
    left_eye = [on_row(low_lid, -outer), on_row(high_lid, -far), on_row(high_lid, -near)]
    left_eye += [on_row(low_lid, -inner), on_row(low_lid, -near), on_row(low_lid, -far)]
    right_eye = [on_row(low_lid, inner), on_row(high_lid, near), on_row(high_lid, far)]
    right_eye += [on_row(low_lid, outer), on_row(low_lid, far), on_row(low_lid, near)]
    low_lip, high_lip = skull.mouth_rows
    half = skull.mouth_half_width
    line = skull.positions[low_lip, :, 2]
    order = front[np.argsort(x[low_lip, front])]

    def lip(share: float, side: int) -> int:
        height = float(np.interp(share * half, x[low_lip, order], line[order]))
        return at(share * half, height + side * _outline(who, share, half, side > 0))

    upper = [lip(share, 1) for share in (-0.6, -0.22, 0.0, 0.22, 0.6)]
    lower = [lip(share, -1) for share in (0.6, 0.3, 0.0, -0.3, -0.6)]
    outer_lips = [on_row(low_lip, -half), *upper, on_row(low_lip, half), *lower]
    inner_lips = [on_row(low_lip, -0.92 * half), *(on_row(high_lip, px * half) for px in (-0.5, 0.0, 0.5))]
    inner_lips += [on_row(low_lip, 0.92 * half), *(on_row(low_lip, px * half) for px in (0.5, 0.0, -0.5))]
    points = [*(jaw(index) for index in range(17)), *left_brow, *right_brow, *nose, *base, *left_eye, *right_eye]
    return np.array([*points, *outer_lips, *inner_lips], dtype=np.int64)


def _outline(who: Identity, share: float, half: float, upper: bool) -> float:
    """Height of the lips' outline at a share of the half width, kept just inside the red."""
    taper = 1.0 - (share / 1.01) ** 2
    notch = 1.0 - 0.16 * float(np.exp(-((share * half / 0.016) ** 2)))
    height = 0.036 * taper**0.7 * notch if upper else 0.044 * taper**0.6
    return 0.85 * who.lip_thickness * height
