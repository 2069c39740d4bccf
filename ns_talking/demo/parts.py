"""Eyeballs, teeth, tongue, mouth cavity, ears and long hair of the procedural head."""

from __future__ import annotations

import numpy as np

from ns_talking.data.face_classes import FaceClass
from ns_talking.demo.identity import Identity
from ns_talking.demo.mesh import Mesh, grid_mesh
from ns_talking.demo.skull import EYE_X, EYEBALL_RADIUS, EYEBALL_Y, EYEBALL_Z, MOUTH_Z


def eyeball(who: Identity, side: int) -> Mesh:
    """A sphere with iris, pupil, a catchlight and the lid's shadow, looking at the camera.

    Args:
        who: Colour of the iris.
        side: -1 for the image's left eye, 1 for the right one.
    """
    polar = np.concatenate([np.linspace(0.0, 0.5, 26), np.linspace(0.53, 1.65, 24)])
    around = np.linspace(0.0, 2 * np.pi, 56, endpoint=False)
    ring, turn = np.meshgrid(polar, around, indexing="ij")
    centre = np.array([side * EYE_X, EYEBALL_Y, EYEBALL_Z])
    forward = np.array([0.0, -3.3, 0.05]) - centre
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    # The cornea bulges a little.
    radius = EYEBALL_RADIUS * (1.0 + 0.02 * np.exp(-((ring / 0.3) ** 2)))
    direction = np.cos(ring)[..., None] * forward + np.sin(ring)[..., None] * (
        np.cos(turn)[..., None] * right + np.sin(turn)[..., None] * up
    )
    positions = centre + radius[..., None] * direction
    distance = EYEBALL_RADIUS * np.sin(ring)
    white = np.array([0.70, 0.66, 0.63])
    fibres = 1.0 + 0.18 * np.sin(turn * 13.0) * np.sin(turn * 5.0 + 1.0)
    iris = np.asarray(who.iris) * (0.55 + 1.1 * np.clip(distance / 0.034, 0, 1) ** 2)[..., None] * fibres[..., None]
    ring_dark = np.exp(-(((distance - 0.035) / 0.0035) ** 2))[..., None]
    colour = np.where((distance < 0.035)[..., None], iris, white)
    colour = colour * (1.0 - 0.75 * ring_dark)
    colour = np.where((distance < 0.0145)[..., None], 0.006, colour)
    height = positions[..., 2] - EYEBALL_Z
    shadow = 1.0 - 0.45 * np.clip((height - 0.010) / 0.03, 0, 1) - 0.25 * np.clip((distance - 0.05) / 0.035, 0, 1)
    colour = colour * shadow[..., None]
    glint = (positions[..., 0] - centre[0] + 0.013) ** 2 + (height - 0.015) ** 2 < 0.0075**2
    colour = np.where((glint & (distance < 0.04))[..., None], 0.95, colour)
    return grid_mesh(positions, colour, FaceClass.EYES, gloss=0.02, wrap=True, two_sided=True)


def teeth(upper: bool) -> Mesh:
    """One dental arch, in the position of the closed mouth."""
    across = np.linspace(-0.090, 0.090, 101)
    down = np.linspace(0.0, 1.0, 12)
    x = across[None] + 0 * down[:, None]
    depth = -0.462 if upper else -0.450
    y = depth + 5.0 * across**2
    gum, edge = (MOUTH_Z + 0.055, MOUTH_Z - 0.010) if upper else (MOUTH_Z - 0.050, MOUTH_Z + 0.001)
    width = 0.031 if upper else 0.023
    # Teeth get narrower towards the sides as seen from the front; the gaps are dark lines.
    place = np.abs(across) / width
    phase = place - np.floor(place)
    gap = np.exp(-((np.minimum(phase, 1.0 - phase) * width / 0.0018) ** 2))
    rounded = 0.004 * (2.0 * np.abs(phase - 0.5)) ** 4 + 0.010 * (across / 0.11) ** 2
    edge_z = edge + (rounded if upper else -rounded)
    z = gum + (edge_z[None] - gum) * down[:, None]
    bulge = 0.004 * (1.0 - (2.0 * phase - 1.0) ** 2)
    positions = np.stack([x, (y - bulge)[None] + 0.010 * (1 - down[:, None]), z], axis=-1)
    shade = 1.0 - 0.55 * np.clip(np.abs(across) / 0.10, 0, 1) ** 2
    colour = np.array([0.80, 0.76, 0.68]) * ((1.0 - 0.5 * gap) * shade)[None, :, None]
    flesh = np.array([0.42, 0.13, 0.12]) * shade[None, :, None]
    colour = np.where(down[:, None, None] < 0.22, flesh, colour + 0 * down[:, None, None])
    return grid_mesh(positions, colour, FaceClass.INNER_MOUTH, gloss=0.05, two_sided=True)


def tongue() -> Mesh:
    """A flattened ellipsoid that lies behind the lower teeth."""
    polar, turn = np.meshgrid(np.linspace(0.05, np.pi - 0.05, 24), np.linspace(0, 2 * np.pi, 40), indexing="ij")
    x = 0.075 * np.sin(polar) * np.cos(turn)
    y = -0.345 - 0.085 * np.cos(polar)
    groove = 0.008 * np.exp(-((x / 0.012) ** 2))
    z = MOUTH_Z - 0.055 + 0.042 * np.sin(polar) * np.sin(turn) - groove
    colour = np.array([0.50, 0.17, 0.16]) * np.clip(1.0 - (y + 0.43) / 0.16, 0.15, 1.0)[..., None]
    return grid_mesh(np.stack([x, y, z], axis=-1), colour, FaceClass.INNER_MOUTH, gloss=0.06, two_sided=True)


def cavity() -> Mesh:
    """The dark room behind the teeth: the inside of half an ellipsoid."""
    polar, turn = np.meshgrid(np.linspace(0.0, np.pi / 2, 14), np.linspace(0, 2 * np.pi, 40), indexing="ij")
    x = 0.138 * np.sin(polar) * np.cos(turn)
    y = -0.418 + 4.0 * x**2 + 0.22 * np.cos(polar)
    z = MOUTH_Z - 0.02 + 0.135 * np.sin(polar) * np.sin(turn)
    colour = np.array([0.11, 0.025, 0.022]) * np.clip(0.25 + 0.75 * np.sin(polar) ** 4, 0, 1)[..., None]
    return grid_mesh(np.stack([x, y, z], axis=-1), colour, FaceClass.INNER_MOUTH, two_sided=True)


def ear(who: Identity, side: int, half_width: float) -> Mesh:
    """An ear: a tilted dish with a rolled rim.

    Args:
        who: Colour of the skin.
        side: -1 for the image's left ear, 1 for the right one.
        half_width: Half the width of the head at the ears.
    """
    ring, turn = np.meshgrid(np.linspace(0.02, 1.0, 16), np.linspace(0, 2 * np.pi, 48, endpoint=False), indexing="ij")
    lobe = 1.0 - 0.22 * np.clip(-np.sin(turn), 0, 1) ** 2
    depth = 0.072 * ring * np.cos(turn) * lobe
    height = 0.135 * ring * np.sin(turn) * (1.0 + 0.05 * np.cos(turn))
    rim = 0.026 * np.exp(-(((ring - 0.86) / 0.13) ** 2)) - 0.012 * np.exp(-((ring / 0.35) ** 2))
    out = 0.006 + rim + 0.42 * np.clip(depth + 0.055, 0, None) - 0.03 * np.clip(ring - 0.93, 0, 1) / 0.07
    x = side * (half_width + out)
    positions = np.stack([x, 0.055 + depth, 0.020 + height - 0.25 * depth], axis=-1)
    hollow = 1.0 - 0.45 * np.exp(-(((ring - 0.35) / 0.25) ** 2))
    colour = np.asarray(who.skin) * np.array([1.0, 0.82, 0.80]) * hollow[..., None]
    return grid_mesh(positions, colour, FaceClass.EARS, gloss=0.02, wrap=True, two_sided=True)


def long_hair(who: Identity, half_width: float) -> Mesh:
    """Hair that falls from the temples round the back down to the shoulders."""
    turn = np.linspace(np.radians(76), np.radians(284), 150)
    down = np.linspace(0.0, 1.0, 70)
    fall, around = np.meshgrid(down, turn, indexing="ij")
    bottom = -0.60 + 0.03 * np.sin(around * 9.0) + 0.015 * np.sin(around * 23.0)
    z = 0.38 + (bottom - 0.38) * fall
    wave = 0.014 * np.sin(around * 17.0 + 5.0 * fall) + 0.010 * np.sin(around * 41.0 - 3.0 * fall)
    width = half_width + 0.035 + 0.075 * np.sin(np.clip(fall * 1.15, 0, 1) * np.pi) ** 0.8 + 0.02 * fall + wave
    back = 0.40 + 0.05 * np.sin(fall * np.pi) + wave
    x = width * np.sin(around)
    y = np.where(np.cos(around) > 0, 0.02 - 0.30 * np.cos(around), 0.02 - back * np.cos(around))
    strand = 1.0 + 0.22 * np.sin(around * 61.0 + 2.0 * fall) * np.sin(around * 23.0) + 0.12 * np.sin(around * 131.0)
    colour = np.asarray(who.hair) * (strand * (1.0 - 0.35 * fall))[..., None]
    positions = np.stack([x, y, z], axis=-1)[::-1]
    return grid_mesh(positions, colour[::-1], FaceClass.HAIR, gloss=0.02, two_sided=True)
