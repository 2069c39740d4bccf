"""Eleven classes of a portrait's pixels: finer than the regions of a parsing image, drawn from landmarks and colour.

A dataset may bring its own, as `classes/%06d.png`, from a network that parses faces or from who drew the head; where it
does not, they are drawn when a frame is decoded, so that every dataset has them.

Source:
    The classes are those of SSP-NeRF's released preprocessing. Differs from it: what is worn (glasses, earrings, a
    necklace, a hat) belongs to what it is worn on, not to the background. Drawing them from landmarks is ours: all of
    the head outside the outline of the face is hair or ear, so a bald head has hair, and hair over an ear is an ear;
    what of the torso has the face's colour and lies below the chin is neck.
"""

from __future__ import annotations

from enum import IntEnum

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from ns_talking.data.face_axes import FaceAxes, fill
from ns_talking.data.format import Region
from ns_talking.data.landmarks import LandmarkScheme
from ns_talking.data.skin_colour import SkinColour


class FaceClass(IntEnum):
    """What a pixel shows."""

    BACKGROUND = 0
    SKIN = 1
    """Of the face."""
    BROWS = 2
    EYES = 3
    """With glasses, where a network knows them."""
    EARS = 4
    """With what hangs from them."""
    NOSE = 5
    INNER_MOUTH = 6
    """Teeth and tongue."""
    LIPS = 7
    NECK = 8
    """With a necklace."""
    CLOTHES = 9
    """The torso below the neck."""
    HAIR = 10
    """With a hat."""


NUM_CLASSES = len(FaceClass)
TORSO_CLASSES = (FaceClass.NECK, FaceClass.CLOTHES)
"""Classes of what the base calls torso; all others but the background are head."""
_OF_REGION = {
    Region.BACKGROUND: FaceClass.BACKGROUND,
    Region.HEAD: FaceClass.HAIR,
    Region.TORSO: FaceClass.CLOTHES,
    Region.LIPS: FaceClass.LIPS,
    Region.EYES: FaceClass.EYES,
    Region.INNER_MOUTH: FaceClass.INNER_MOUTH,
}
_OF_CLASS = {FaceClass.NECK: Region.TORSO, **{face_class: region for region, face_class in _OF_REGION.items()}}
REGION_OF_CLASS = np.array([_OF_CLASS.get(face_class, Region.HEAD) for face_class in FaceClass], dtype=np.uint8)
"""`Region` of every class."""
_FROM_REGIONS = np.array([_OF_REGION[region] for region in Region], dtype=np.uint8)
_BROWS, _NOSE = (slice(17, 22), slice(22, 27)), slice(27, 36)
"""Of iBUG's 68 points."""
_JAW_CORNERS = (4, 12)
"""Of iBUG's 68 points: where the jaw turns up."""
_BROW_THICKNESS = 0.07
_JAW_THICKNESS = 0.15
"""Skin on either side of the jaw line, since landmarks lie a little inside of what is seen of the jaw."""
_EAR_TOP, _EAR_BOTTOM = -0.12, 0.62
"""Height of the ears, from a little above the corners of the eyes to the lobes."""
_EAR_REACH = 0.32
"""How far ears stand out from the outline of the face."""
_NECK_LENGTH, _NECK_BESIDE = 0.9, 0.3
"""How far below the chin and beside the corners of the jaw a bare neck is looked for."""
_LEAST_NECK = 0.05
"""Radius of what is too small to be one. All in distances of the outer eye corners."""
_EVERY = 7
"""Of so many pixels of the face's skin one is looked at."""


def classes_from_landmarks(
    regions: UInt8[np.ndarray, "height width"],
    landmarks: Float[np.ndarray, "points axes"],
    layout: LandmarkScheme,
    image: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "height width"]:
    """Refine the regions of one frame.

    Args:
        regions: `Region` of every pixel.
        landmarks: Of the frame, in px of the image; NaN leaves brows, ears, nose and neck out.
        layout: Their scheme.
        image: The frame, BGR.

    Returns:
        `FaceClass` of every pixel.
    """
    classes = _FROM_REGIONS[regions]
    points = landmarks[:, :2].astype(np.float64)
    if np.isnan(points).any():
        return classes
    axes, ibug = FaceAxes.of(points, layout), points[layout.ibug68]
    head, torso = regions == Region.HEAD, regions == Region.TORSO
    jaw = points[layout.jaw]
    outline = _face_outline(jaw, ibug, axes)
    for face_class, drawn in (
        (FaceClass.EARS, _ears(regions.shape, axes, outline)),
        (FaceClass.SKIN, _polygon(regions.shape, outline) | _strokes(regions.shape, [jaw], axes, _JAW_THICKNESS)),
        (FaceClass.NOSE, _polygon(regions.shape, cv2.convexHull(ibug[_NOSE].astype(np.float32))[:, 0])),
        (FaceClass.BROWS, _strokes(regions.shape, [ibug[brow] for brow in _BROWS], axes, _BROW_THICKNESS)),
    ):
        classes[head & drawn] = face_class
    skin = SkinColour.of(image[classes == FaceClass.SKIN][::_EVERY])
    if skin is not None:
        classes[_neck(torso, axes, ibug, skin, image)] = FaceClass.NECK
    return classes


def _face_outline(jaw: np.ndarray, ibug: np.ndarray, axes: FaceAxes) -> np.ndarray:
    """The jaw, closed by half an ellipse over the forehead, which is as high as brow and nose are apart."""
    brow = axes.coordinates(ibug[17:27])[:, 1].mean()
    third = axes.coordinates(ibug[33])[1] - brow
    ends = axes.coordinates(jaw[[0, -1]])
    centre, half = ends.mean(axis=0), (ends[1] - ends[0]) / 2
    height = max(centre[1] - (brow - third), 0.1)
    turns = np.linspace(0, np.pi, 24)[1:-1]
    # From the last point of the jaw over the forehead to the first.
    top = [axes.point(*(centre + half * np.cos(turn) - (0, height * np.sin(turn)))) for turn in turns]
    return np.concatenate([jaw, top])


def _polygon(shape: tuple[int, ...], outline: np.ndarray) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    fill(mask, outline, 1)
    return mask > 0


def _strokes(shape: tuple[int, ...], lines: list[np.ndarray], axes: FaceAxes, thickness: float) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    thickness_px = max(1, round(thickness * axes.eye_distance_px))
    cv2.polylines(mask, [np.rint(line - 0.5).astype(np.int32) for line in lines], False, 1, thickness_px)
    return mask > 0


def _ears(shape: tuple[int, ...], axes: FaceAxes, outline: np.ndarray) -> np.ndarray:
    """The strips beside the face between eyes and lobes; the face itself is drawn over them."""
    right = axes.coordinates(outline)[:, 0]
    first, last = right.min() - _EAR_REACH, right.max() + _EAR_REACH
    corners = ((first, _EAR_TOP), (last, _EAR_TOP), (last, _EAR_BOTTOM), (first, _EAR_BOTTOM))
    return _polygon(shape, np.array([axes.point(*corner) for corner in corners]))


def _neck(torso: np.ndarray, axes: FaceAxes, ibug: np.ndarray, skin: SkinColour, image: np.ndarray) -> np.ndarray:
    """What of the torso is skin under the jaw."""
    first, last = (axes.coordinates(ibug[corner]) for corner in _JAW_CORNERS)
    left, right = first[0] - _NECK_BESIDE, last[0] + _NECK_BESIDE
    bottom = axes.coordinates(ibug[8])[1] + _NECK_LENGTH
    corners = ((left, first[1]), (right, last[1]), (right, bottom), (left, bottom))
    below = torso & _polygon(torso.shape, np.array([axes.point(*corner) for corner in corners]))
    bare = np.zeros(torso.shape, dtype=np.uint8)
    bare[below] = skin.matches(image[below])
    radius_px = max(1, round(_LEAST_NECK * axes.eye_distance_px))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))
    return cv2.morphologyEx(bare, cv2.MORPH_OPEN, disc) > 0
