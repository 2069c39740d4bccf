"""The surface of the procedural head: a closed face as a grid of rows and columns with two slits, eyes and mouth.

Frame: the world of a dataset (x image right, y to the back of the head, z up, 1 unit = 25 cm). Proportions follow an
average adult face measured in outer-eye distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from ns_talking.demo.identity import Identity

MOUTH_Z, EYE_Z = -0.222, 0.108
EYE_X, EYE_HALF_WIDTH = 0.1585, 0.075
EYEBALL_RADIUS, EYEBALL_Y, EYEBALL_Z = 0.090, -0.296, 0.114
LOWER_LID_DIP, EYE_TILT = 0.016, 0.006

# One knot per row of the head from the neck over the chin to the crown: front z, front y, back z, back y, half width.
_KNOTS = np.array(
    [
        (-0.380, -0.090, -0.340, 0.300, 0.185),
        (-0.425, -0.230, -0.330, 0.320, 0.195),
        (-0.450, -0.340, -0.315, 0.340, 0.205),
        (-0.452, -0.425, -0.290, 0.355, 0.222),
        (-0.410, -0.462, -0.250, 0.375, 0.252),
        (-0.330, -0.462, -0.190, 0.400, 0.288),
        (-0.222, -0.458, -0.110, 0.430, 0.320),
        (-0.100, -0.448, -0.010, 0.460, 0.345),
        (0.030, -0.438, 0.080, 0.480, 0.362),
        (0.120, -0.432, 0.150, 0.490, 0.370),
        (0.220, -0.448, 0.250, 0.490, 0.376),
        (0.350, -0.440, 0.360, 0.475, 0.378),
        (0.480, -0.390, 0.480, 0.425, 0.352),
        (0.590, -0.285, 0.585, 0.330, 0.285),
        (0.665, -0.140, 0.655, 0.200, 0.180),
        (0.692, 0.030, 0.692, 0.050, 0.004),
    ]
)
_SIDE_Y = 0.04


@dataclass(frozen=True)
class Skull:
    """Grid of the head's skin, mouth and eyes closed; rows run upwards, columns to the right seen from the front."""

    positions: Float[np.ndarray, "rows columns 3"]
    socket_y: Float[np.ndarray, "rows columns"]
    """Depth of the surface before the lids are laid over the eyeballs."""
    azimuth: Float[np.ndarray, " columns"]
    """Angle around the vertical axis, 0 in front, positive to x > 0, in (-pi, pi]."""
    knot: Float[np.ndarray, " rows"]
    """Position along the profile: 3 is the chin, 6 the mouth, 9 the eyes, 15 the crown."""
    mouth_rows: tuple[int, int]
    """Rows of the lower and of the upper lip's edge."""
    eye_rows: tuple[int, int]
    """Rows of the lower and of the upper lid's edge."""
    mouth_half_width: float


def build_skull(who: Identity, density: float = 1.0) -> Skull:
    """Build the closed face of an identity.

    Args:
        who: Proportions are read from it.
        density: Factor on the number of rows and columns; 1 suits images up to 256 pixels.
    """
    knots = _KNOTS.copy()
    below = np.clip((9.0 - np.arange(len(knots))) / 3.0, 0.0, 1.0)
    knots[:, 4] *= who.face_width * (1.0 + (who.jaw_width - 1.0) * below)
    profile = PchipInterpolator(np.arange(len(knots)), knots)
    fine = np.linspace(3.0, 11.0, 2000)
    fine_z = profile(fine)[:, 0]
    mouth_knot, eye_knot = (float(np.interp(z, fine_z, fine)) for z in (MOUTH_Z, EYE_Z))

    def rows_between(low: float, high: float, spacing: float) -> np.ndarray:
        count = max(int(round((high - low) * density / spacing)), 3)
        return np.interp(np.linspace(low, high, count + 1), fine_z, fine)[:-1]

    chin, brow = float(fine_z[0]), float(fine_z[-1])
    under = np.linspace(0.0, 3.0, int(14 * density), endpoint=False)
    to_mouth = rows_between(chin, MOUTH_Z, 0.0075)
    to_eyes = rows_between(MOUTH_Z, EYE_Z, 0.0072)
    to_brow = rows_between(EYE_Z, brow, 0.0072)
    crown = np.linspace(11.0, 15.0, int(30 * density))
    # Two slits: the mouth's and the eyes' rows exist twice, the lips' and lids' inner rows lie between the copies.
    slit = 3
    knot = np.concatenate(
        [under, to_mouth, [mouth_knot] * (2 * slit), to_eyes[1:], [eye_knot] * (2 * slit), to_brow[1:], crown]
    )
    mouth_row = len(under) + len(to_mouth)
    eye_row = mouth_row + 2 * slit + len(to_eyes) - 1
    azimuth = _columns(density)
    rows = profile(knot)
    positions = _revolve(rows, azimuth)
    half_width = 0.128 * who.mouth_width
    front = np.cos(azimuth)[None] > 0.0
    x, z = positions[..., 0], positions[..., 2]
    side = np.clip((np.abs(x) - EYE_X) / EYE_HALF_WIDTH, -1.5, 1.5)
    lens = np.clip(1.0 - side**2, 0.0, None)
    falloff = np.exp(-(((z - EYE_Z) / 0.05) ** 2)) * front
    positions[..., 2] += falloff * (EYE_TILT * side * (lens > 0) - LOWER_LID_DIP * lens)
    cupid = 0.005 * np.exp(-((x / 0.035) ** 2)) - 0.004 * (x / half_width) ** 2
    mouth_falloff = np.exp(-(((z - MOUTH_Z) / 0.03) ** 2)) * front * (np.abs(x) < 1.6 * half_width)
    positions[..., 2] += mouth_falloff * cupid * np.clip(1.6 - np.abs(x) / half_width, 0.0, 1.0)
    positions[..., 1] -= np.where(front & (knot[:, None] > 2.0), relief(x, positions[..., 2], who, half_width), 0.0)
    socket_y = positions[..., 1].copy()
    positions[..., 1] = np.where(
        front & (knot[:, None] > 6.0), over_eyeballs(positions[..., 1], x, positions[..., 2]), positions[..., 1]
    )
    _tuck_edges(positions, (mouth_row, mouth_row + 2 * slit - 1), half_width, front)
    return Skull(
        positions=positions,
        socket_y=socket_y,
        azimuth=azimuth,
        knot=knot,
        mouth_rows=(mouth_row, mouth_row + 2 * slit - 1),
        eye_rows=(eye_row, eye_row + 2 * slit - 1),
        mouth_half_width=half_width,
    )


def _columns(density: float) -> Float[np.ndarray, " columns"]:
    """Azimuths, dense over the face and sparse at the back."""
    face = np.radians(np.linspace(-52.0, 52.0, 2 * int(74 * density) + 1))
    left = np.radians(np.linspace(-180.0, -52.0, int(46 * density), endpoint=False))[1:]
    right = np.radians(np.linspace(180.0, 52.0, int(46 * density), endpoint=False))[::-1]
    return np.concatenate([left, face, right])


def _revolve(rows: Float[np.ndarray, "rows 5"], azimuth: Float[np.ndarray, " columns"]) -> np.ndarray:
    """Sweep every row around the head: a superellipse in front, an ellipse at the back."""
    front_z, front_y, back_z, back_y, width = (rows[:, [index]] for index in range(5))
    sine, cosine = np.sin(azimuth)[None], np.cos(azimuth)[None]
    middle = np.minimum(_SIDE_Y + 0.0 * width, back_y - 0.005)
    exponent = 2.25
    reach = (1.0 - np.abs(sine) ** exponent + 1e-9) ** (1.0 / exponent)
    y = np.where(cosine >= 0.0, middle - (middle - front_y) * reach, middle + 0.90 * (back_y - middle) * -cosine)
    z = back_z + (front_z - back_z) * (1.0 + cosine) / 2.0
    return np.stack([width * sine, y, z], axis=-1)


def relief(x: np.ndarray, z: np.ndarray, who: Identity, half_width: float) -> np.ndarray:
    """How far the features of the face stand out of the skull, in world units."""

    def bump(height: float, cx: float, cz: float, sx: float, sz: float) -> np.ndarray:
        return height * np.exp(-(((np.abs(x) - cx) / sx) ** 2) - ((z - cz) / sz) ** 2)

    tip = 0.135 - 0.185 * who.nose_length
    along = np.clip((0.155 - z) / (0.155 - tip), 0.0, None)
    ridge = np.where(z > tip, along**1.25, np.clip(1.0 - (np.abs(tip - z) / 0.062) ** 1.6, 0.0, None))
    ridge_width = (0.026 + 0.020 * np.clip(along, 0.0, 1.2)) * (0.6 + 0.4 * who.nose_width)
    nose = (0.018 + 0.107 * np.clip(ridge, 0.0, 1.0)) * np.exp(-(np.abs(x / ridge_width) ** 2.2))
    nose = nose * np.clip((0.24 - z) / 0.1, 0.0, 1.0) * np.clip((z - tip + 0.11) / 0.05, 0.0, 1.0)
    wings = bump(0.036 * who.nose_width, 0.056 * who.nose_width, tip - 0.012, 0.024, 0.026)
    ball = bump(0.012, 0.0, tip + 0.002, 0.035, 0.03)
    thick = 0.9 + 0.25 * (who.lip_thickness - 1.0)
    taper = np.clip(1.0 - (x / (1.02 * half_width)) ** 2, 0.0, None)
    upper = 0.024 * thick * np.exp(-(((z - MOUTH_Z - 0.019) / 0.017) ** 2)) * taper**0.6
    lower = 0.028 * thick * np.exp(-(((z - MOUTH_Z + 0.024) / 0.019) ** 2)) * taper**0.8
    return (
        nose
        + wings
        + ball
        + upper
        + lower
        + bump(0.030, 0.0, MOUTH_Z, 0.13, 0.085)
        - bump(0.006, 0.0, -0.165, 0.012, 0.03)
        + bump(0.030, 0.0, -0.392, 0.085, 0.05)
        - bump(0.014, 0.0, -0.305, 0.09, 0.025)
        + bump(0.026, 0.225, 0.01, 0.085, 0.075)
        + bump(0.020, 0.125, 0.222, 0.10, 0.032)
        - bump(0.046, 0.150, 0.125, 0.085, 0.062)
        - bump(0.012, 0.16, -0.16, 0.05, 0.05)
    )


def over_eyeballs(y: np.ndarray, x: np.ndarray, z: np.ndarray, clearance: float = 0.007) -> np.ndarray:
    """Push a surface out to the eyelids' sphere where it would cut the eyeball (smooth minimum over depth)."""
    squared = (EYEBALL_RADIUS + clearance) ** 2 - (np.abs(x) - EYE_X) ** 2 - (z - EYEBALL_Z) ** 2
    sphere = np.where(squared > 0.0, EYEBALL_Y - np.sqrt(np.maximum(squared, 0.0)), EYEBALL_Y + 0.2)
    sharpness = 0.012
    return -sharpness * np.logaddexp(-y / sharpness, -sphere / sharpness)


def _tuck_edges(positions: np.ndarray, rows: tuple[int, int], half_width: float, front: np.ndarray) -> None:
    """Roll the lips' edges inwards, so that lips have a thickness when they part."""
    x = positions[rows[0], :, 0]
    inside = np.clip(1.0 - (x / half_width) ** 2, 0.0, 1.0) ** 0.5 * front[0]
    for step, depth in enumerate((0.012, 0.030, 0.055)):
        positions[rows[0] + step, :, 1] += depth * inside
        positions[rows[1] - step, :, 1] += depth * inside
    for step in (1, 2):
        positions[rows[0] - step, :, 1] += 0.006 * inside / step
        positions[rows[1] + step, :, 1] += 0.006 * inside / step
