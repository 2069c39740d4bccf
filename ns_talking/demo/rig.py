"""How the procedural head moves: a jaw that rotates, lips that widen and round, lids that close.

Everything is a displacement of material points in three dimensions, so landmarks are vertices and openings are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ns_talking.data.format import OUTER_EYE_DISTANCE
from ns_talking.demo.face import Face, build_face, in_eye_slit
from ns_talking.demo.identity import Identity
from ns_talking.demo.mesh import Mesh, join
from ns_talking.demo.parts import cavity, ear, eyeball, long_hair, teeth, tongue
from ns_talking.demo.skull import EYE_HALF_WIDTH, EYE_X, MOUTH_Z, build_skull, over_eyeballs

_HINGE_Y, _HINGE_Z = 0.09, -0.02
_CORNER_SHARE = 0.36
"""How much of the jaw's way the corners of the mouth go."""
_LIP_RAISE = 0.055
"""How far the upper lip rises per radian of the jaw, in world units."""
_LID_OPENING = 0.057
_BLINK_LEVELS = 13
_INNER_PAIRS = ((61, 67), (62, 66), (63, 65))
_EYE_CENTRE = np.array([0.0, -0.35, 0.11675])
"""Where the middle of the outer eye corners lies: 0.75 outer-eye distances before the origin, 0.25 above."""


@dataclass(frozen=True)
class Rig:
    """A head that can be posed; all positions are in the world of a dataset."""

    mesh: Mesh
    """At rest: mouth closed, eyes closed."""
    landmarks: Int[np.ndarray, "68"]
    jaw_share: Float[np.ndarray, " vertices"]
    """How much of the jaw's rotation every vertex follows."""
    raise_share: Float[np.ndarray, " vertices"]
    wide_share: Float[np.ndarray, " vertices"]
    round_share: Float[np.ndarray, " vertices"]
    lid_vertices: Int[np.ndarray, " lids"]
    lid_offsets: Float[np.ndarray, "levels lids 3"]
    """Displacement of the lids for blinks from 0 to 1 in equal steps."""
    hinge: Float[np.ndarray, "2"]
    """y and z of the jaw's axis."""
    scale: float
    """World units per unit of the construction plan."""
    jaw_angles: Float[np.ndarray, " table"]
    apertures: Float[np.ndarray, " table"]
    """Inner-lip opening over the outer-eye distance, seen from the front, for `jaw_angles`."""

    @property
    def largest_aperture(self) -> float:
        """The widest opening that the jaw allows."""
        return float(self.apertures[-1])

    def jaw_angle(self, aperture: float) -> float:
        """Angle of the jaw in radians for an opening of the lips."""
        return float(np.interp(aperture, self.apertures, self.jaw_angles))

    def shape(self, aperture: float = 0.0, width: float = 1.0, blink: float = 0.0) -> Float[np.ndarray, "vertices 3"]:
        """Move all vertices.

        Args:
            aperture: Opening of the inner lips over the outer-eye distance, seen from the front; 0 is closed.
            width: Width of the mouth relative to rest; below 1 the lips round and protrude.
            blink: 0 open, 1 closed.
        """
        return self._shape_for_angle(self.jaw_angle(aperture), width, blink)

    def _shape_for_angle(self, angle: float, width: float, blink: float) -> Float[np.ndarray, "vertices 3"]:
        moved = self.mesh.positions.copy()
        level = float(np.clip(blink, 0.0, 1.0)) * (_BLINK_LEVELS - 1)
        low = min(int(level), _BLINK_LEVELS - 2)
        share = np.float32(level - low)
        moved[self.lid_vertices] += self.lid_offsets[low] * (1 - share) + self.lid_offsets[low + 1] * share
        moved[:, 0] *= 1.0 + np.float32(width - 1.0) * self.wide_share
        moved[:, 2] += np.float32(_LIP_RAISE * angle * self.scale) * self.raise_share
        y, z = moved[:, 1] - self.hinge[0], moved[:, 2] - self.hinge[1]
        sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
        moved[:, 1] += self.jaw_share * (y * (cosine - 1) - z * sine)
        moved[:, 2] += self.jaw_share * (y * sine + z * (cosine - 1))
        # Lips protrude after the jaw has turned, which keeps the opening free of the width.
        rounding = min(max((1.0 - width) / 0.3, -0.4), 1.0)
        moved[:, 1] -= np.float32(0.032 * rounding * self.scale) * self.round_share
        return moved


def build_rig(who: Identity, density: float = 1.0) -> Rig:
    """Build the head of an identity with all its parts.

    Args:
        who: Colours and proportions.
        density: Factor on the resolution of the mesh; 1 suits images up to 256 pixels.
    """
    face = build_face(who, build_skull(who, density))
    ear_width = 0.366 * who.face_width
    parts = [eyeball(who, -1), eyeball(who, 1), ear(who, -1, ear_width), ear(who, 1, ear_width), teeth(upper=True)]
    if who.hair_length > 0.0:
        parts.append(long_hair(who, 0.378 * who.face_width))
    jaw_parts = [teeth(upper=False), tongue()]
    mouth = cavity()
    mesh = join([face.mesh, *parts, *jaw_parts, mouth])
    num_still = sum(len(part.positions) for part in parts)
    num_jaw = sum(len(part.positions) for part in jaw_parts)
    hollow = np.clip((MOUTH_Z + 0.03 - mouth.positions[:, 2]) / 0.12, 0.0, 0.9)
    shares = _shares(face)
    rest = np.zeros(num_still + num_jaw + len(mouth.positions))
    jaw_share = np.concatenate([shares[0], np.zeros(num_still), np.ones(num_jaw), hollow])
    others = [np.concatenate([share, rest]) for share in shares[1:]]
    # The room behind the lips narrows with them, otherwise it would show beside a rounded mouth.
    others[1][-len(mouth.positions) :] = 1.0
    lid_vertices, lid_offsets = _lids(who, face)
    mesh, scale, centre = _to_world(who, mesh, face)
    rig = Rig(
        mesh=mesh,
        landmarks=face.landmarks,
        jaw_share=jaw_share.astype(np.float32),
        raise_share=others[0].astype(np.float32),
        wide_share=others[1].astype(np.float32),
        round_share=others[2].astype(np.float32),
        lid_vertices=lid_vertices,
        lid_offsets=(lid_offsets * scale * _stretch(who)).astype(np.float32),
        hinge=(np.array([_HINGE_Y, _HINGE_Z]) - centre[1:]) * scale * _stretch(who)[1:],
        scale=scale,
        jaw_angles=np.linspace(0.0, 0.62, 125),
        apertures=np.zeros(125),
    )
    openings = np.array([_measure(rig, float(angle)) for angle in rig.jaw_angles])
    return Rig(**{**vars(rig), "apertures": openings - openings[0]})


def _measure(rig: Rig, angle: float) -> float:
    """Opening of the inner lips over the outer-eye distance, both seen from the front."""
    points = rig._shape_for_angle(angle, 1.0, 0.0)[rig.landmarks][:, [0, 2]].astype(np.float64)
    gap = np.mean([np.linalg.norm(points[upper] - points[lower]) for upper, lower in _INNER_PAIRS])
    return float(gap / np.linalg.norm(points[45] - points[36]))


def _stretch(who: Identity) -> Float[np.ndarray, "3"]:
    return np.array([1.0, 1.0, who.face_length])


def _to_world(who: Identity, mesh: Mesh, face: Face) -> tuple[Mesh, float, np.ndarray]:
    """Scale and place a head so that its outer eye corners are where the world wants them."""
    corners = mesh.positions[face.landmarks[[36, 45]]].astype(np.float64)
    scale = OUTER_EYE_DISTANCE / float(np.linalg.norm(corners[1] - corners[0]))
    middle = corners.mean(axis=0)
    centre = middle - _EYE_CENTRE / (scale * _stretch(who))
    positions = (mesh.positions - centre) * scale * _stretch(who)
    return Mesh(**{**vars(mesh), "positions": positions.astype(np.float32)}), scale, centre


def _shares(face: Face) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """How much every vertex of the skin follows the jaw, the raised lip, the width and the rounding of the mouth."""
    skull = face.skull
    x, z = skull.positions[..., 0], skull.positions[..., 2]
    half = skull.mouth_half_width
    low, high = skull.mouth_rows
    line = skull.positions[low, :, 2][None]
    below = np.arange(len(z))[:, None] < (low + high) / 2
    degrees = np.degrees(np.abs(skull.azimuth))[None]
    ratio = np.clip(np.abs(x) / half, 0.0, 1.0)
    beyond = np.exp(-((np.clip(np.abs(x) - half, 0.0, None) / 0.09) ** 2))
    corner = _CORNER_SHARE * beyond
    lower_lip = np.where(ratio < 1.0, 1.0 - (1.0 - _CORNER_SHARE) * ratio**2.4, corner)
    upper_lip = np.where(ratio < 1.0, _CORNER_SHARE * ratio**2.0, corner)
    depth = line - z
    chin = np.clip((104.0 - degrees) / 50.0, 0.0, 1.0)
    chin = chin * chin * (3.0 - 2.0 * chin) * np.clip(skull.knot / 2.0, 0.0, 1.0)[:, None]
    fade = np.clip(depth / 0.11, 0.0, 1.0)
    fade = fade * fade * (3.0 - 2.0 * fade)
    lower_share = lower_lip + (chin - lower_lip) * fade
    upper_share = upper_lip * np.exp(-((np.clip(-depth, 0.0, None) / 0.085) ** 2))
    front = (np.cos(skull.azimuth) > 0.0)[None]
    jaw = np.where(below, lower_share, upper_share) * np.where(front, 1.0, chin)
    lift = np.where(below, 0.0, np.exp(-((np.clip(-depth, 0, None) / 0.05) ** 2)) * np.clip(1 - ratio**2, 0, 1)) * front
    near = np.exp(-((depth / 0.10) ** 2)) * front
    wide = near * np.exp(-((np.clip(np.abs(x) - half, 0.0, None) / 0.085) ** 2))
    pout = np.exp(-((x / 0.12) ** 2) - (depth / 0.055) ** 2) * front
    return jaw.reshape(-1), lift.reshape(-1), wide.reshape(-1), pout.reshape(-1)


def _lids(who: Identity, face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Displacements of the upper lids, which slide over the eyeballs."""
    skull = face.skull
    rows, columns = skull.positions.shape[:2]
    low, high = skull.eye_rows
    middle = (low + high + 1) // 2
    inside = np.flatnonzero(in_eye_slit(skull))
    last = int(np.searchsorted(skull.knot, 10.6))
    index = (np.arange(middle, last)[:, None] * columns + inside[None]).reshape(-1)
    x, z = skull.positions[middle:last, inside, 0], skull.positions[middle:last, inside, 2]
    side = (np.abs(x) - EYE_X) / EYE_HALF_WIDTH
    lens = np.clip(1.0 - side**2, 0.0, 1.0) ** 0.75
    height = z - skull.positions[low, inside, 2][None]
    travel = _LID_OPENING * who.eye_opening * lens * np.exp(-((np.clip(height, 0, None) / 0.062) ** 2))
    # The inner rows of the lid give it a thickness and cover the eyeball's upper part.
    tuck = np.zeros((last - middle, 1))
    tuck[: high - middle] = np.linspace(0.014, 0.005, high - middle)[:, None]
    offsets = []
    for blink in np.linspace(0.0, 1.0, _BLINK_LEVELS):
        lifted = z + (1.0 - blink) * travel
        socket = np.stack(
            [
                np.interp(lifted[:, k], skull.positions[:, c, 2][middle:], skull.socket_y[middle:, c])
                for k, c in enumerate(inside)
            ],
            axis=1,
        )
        y = over_eyeballs(socket, x, lifted) + tuck * (1.0 - blink)
        offsets.append(np.stack([0 * x, y - skull.positions[middle:last, inside, 1], lifted - z], -1).reshape(-1, 3))
    return index, np.stack(offsets)
