"""Hair that hangs below the jaw, found by its colour and its place, for models that only know a person.

The jaw line alone gives all long hair to the torso, which then has to follow the head. Two kinds of evidence are
joined below the line. Colour: hair is like the hair above the brow, a neck is like the cheeks and like the patch under
the chin, and clothes may have any colour. Place: averaged over the clip in coordinates that move with the face, so that
one frame's ambiguous shadow is decided by all frames. What is not joined to the hair above the line stays torso.

A clip only gets this treatment when hair is seen beside the neck in most of its frames: with short hair a dark jacket
would otherwise be taken for hair now and then, and the jaw line is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from ns_talking.data.face_axes import FaceAxes, fill
from ns_talking.data.landmarks import LandmarkScheme
from ns_talking.process.jaw_line import jaw_polyline
from ns_talking.process.person_masks import fill_holes

_BINS = 32
_UNKNOWN_COLOUR = 0.15
"""Weight of the class that may have any colour (clothes), against 1 for hair and for skin."""
_PLACE_WEIGHT = 1.5
_PLACE_RANGE = (-2.0, 2.0, -0.5, 3.5)
"""Left, right, top and bottom of the map of places, in outer-eye distances from the eyes' middle."""
_PLACE_SIZE = 96
_LONG_AREA = 0.12
"""Area of hair beside the neck, in squared outer-eye distances, from which a frame shows long hair."""


@dataclass(frozen=True)
class LongHair:
    """What long hair looks like in this clip, and where it hangs."""

    colour: Float[np.ndarray, "lightness a b"]
    """Probability of hair for every quantised Lab colour."""
    place: Float[np.ndarray, "rows columns"]
    """Probability of hair for every place in the face's axes."""

    def probability(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        landmarks: Float[np.ndarray, "points axes"],
        layout: LandmarkScheme,
    ) -> Float[np.ndarray, "height width"]:
        """Estimate where hair is; only meaningful within the person and below the jaw."""
        colour = _smooth(_logit(_looked_up(self.colour, image)))
        axes = FaceAxes.of(landmarks, layout)
        place = _logit(_from_places(self.place, axes, image.shape[0], image.shape[1]))
        return 1 / (1 + np.exp(-(colour + _PLACE_WEIGHT * place)))


def hanging(
    probability: Float[np.ndarray, "height width"],
    person: Bool[np.ndarray, "height width"],
    above: Bool[np.ndarray, "height width"],
    neck: Bool[np.ndarray, "height width"],
) -> Bool[np.ndarray, "height width"]:
    """Keep the hair below the jaw line that is joined to the head above it.

    Args:
        probability: Of hair, per pixel.
        person: The person's mask.
        above: The head's side of the jaw line.
        neck: Never hair: the patch under the chin.
    """
    head = (above & person).astype(np.uint8)
    likely = ((probability > 0.5) & person & ~neck).astype(np.uint8) | head
    count, labels = cv2.connectedComponents(_morphed(likely, cv2.MORPH_OPEN, 3) | head, connectivity=4)
    joined = np.bincount(labels[head > 0], minlength=count) > 0
    joined[0] = False
    hair = joined[labels] & ~above
    hair = fill_holes(_morphed(hair.astype(np.uint8), cv2.MORPH_CLOSE, 5) > 0) & person & ~above & ~neck
    # What is left between the hair and the mask's edge, or inside the hair, is too thin to be clothes or neck.
    torso = (person & ~above & ~hair).astype(np.uint8)
    return hair | ((torso > _morphed(torso, cv2.MORPH_OPEN, 9)) & ~neck & (cv2.dilate(likely, _disc(9)) > 0))


def _disc(diameter: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))


def _morphed(mask: np.ndarray, operation: int, diameter: int) -> np.ndarray:
    """Open or close a mask as if it went on past the edges of the image."""
    padded = cv2.copyMakeBorder(mask, diameter, diameter, diameter, diameter, cv2.BORDER_REPLICATE)
    return cv2.morphologyEx(padded, operation, _disc(diameter))[diameter:-diameter, diameter:-diameter]


def neck_patch(
    landmarks: Float[np.ndarray, "points axes"], layout: LandmarkScheme, height: int, width: int
) -> Bool[np.ndarray, "height width"]:
    """Mark the skin just under the chin, which no hair covers in a portrait."""
    axes = FaceAxes.of(landmarks, layout)
    chin = axes.coordinates(landmarks[layout.ibug68[8], :2].astype(np.float64))
    outline = [
        axes.point(chin[0] + side, chin[1] + drop) for side, drop in ((-0.3, 0), (0.3, 0), (0.22, 0.35), (-0.22, 0.35))
    ]
    mask = np.zeros((height, width), dtype=np.uint8)
    fill(mask, np.array(outline), 1)
    return mask > 0


def find_long_hair(
    images: Sequence[UInt8[np.ndarray, "height width 3"]],
    persons: Sequence[Bool[np.ndarray, "height width"]],
    aboves: Sequence[Bool[np.ndarray, "height width"]],
    landmarks: Sequence[Float[np.ndarray, "points axes"]],
    layout: LandmarkScheme,
) -> LongHair | None:
    """Learn the clip's long hair from some of its frames.

    Args:
        images: Frames, RGB, all of one size.
        persons: Their person masks.
        aboves: The head's side of their jaw lines.
        landmarks: Their landmarks, in px of these images.
        layout: Scheme of the landmarks.

    Returns:
        None when the person has no hair beside the neck in most of the frames.
    """
    hair, skin = np.zeros((2, _BINS, _BINS, _BINS))
    for image, person, above, points in zip(images, persons, aboves, landmarks, strict=True):
        hair_seed, skin_seed = _seeds(image, person, above, points, layout)
        hair += _histogram(image, hair_seed)
        skin += _histogram(image, skin_seed)
    if hair.sum() < 100 or skin.sum() < 100:
        return None
    hair, skin = _density(hair), _density(skin)
    unknown = np.full_like(hair, _UNKNOWN_COLOUR / hair.size)
    colour = hair / (hair + skin + unknown)

    places, seen = np.zeros((2, _PLACE_SIZE, _PLACE_SIZE))
    areas = []
    for image, person, above, points in zip(images, persons, aboves, landmarks, strict=True):
        axes = FaceAxes.of(points, layout)
        below = (person & ~above).astype(np.float32)
        likely = _smooth(_looked_up(colour, image)) * below
        places += _to_places(likely, axes)
        seen += _to_places(below, axes)
        areas.append(_beside_neck(likely > 0.5, points, axes, layout))
    if np.mean(np.array(areas) > _LONG_AREA) < 0.5:
        return None
    # Two made-up frames in doubt keep places that were hardly ever seen undecided.
    place = (places + 0.5 * 2) / (seen + 2)
    return LongHair(colour, cv2.GaussianBlur(place, (0, 0), 1.5))


def _seeds(
    image: np.ndarray, person: np.ndarray, above: np.ndarray, points: np.ndarray, layout: LandmarkScheme
) -> tuple[np.ndarray, np.ndarray]:
    """Mark pixels that are surely hair, and pixels that are surely skin of face or neck."""
    height, width = image.shape[:2]
    axes = FaceAxes.of(points, layout)
    rows, columns = np.mgrid[0:height, 0:width]
    place: np.ndarray = axes.coordinates(np.stack([columns + 0.5, rows + 0.5], axis=-1))
    core = cv2.erode(person.astype(np.uint8), _disc(5)) > 0
    outside_face = (np.abs(place[..., 0]) / 0.85) ** 2 + ((place[..., 1] - 0.15) / 1.35) ** 2 > 1
    hair = core & above & outside_face & (place[..., 1] < -0.1)
    face = np.zeros((height, width), dtype=np.uint8)
    fill(face, np.concatenate([jaw_polyline(points, layout), points[layout.ibug68[[14, 2]], :2]]), 1)
    cheeks = (face > 0) & (place[..., 1] > 0.2) & (np.abs(place[..., 0]) > 0.2)
    return hair, (cheeks & core) | (neck_patch(points, layout, height, width) & core)


def _beside_neck(hair: np.ndarray, points: np.ndarray, axes: FaceAxes, layout: LandmarkScheme) -> float:
    """Measure the hair next to the jaw's corners and just below, in squared outer-eye distances."""
    height, width = hair.shape
    corners = axes.coordinates(jaw_polyline(points, layout)[[0, -1]])
    band = np.zeros((height, width), dtype=np.uint8)
    for (x, y), side in zip(corners, (-1, 1), strict=True):
        outline = [axes.point(x, y), axes.point(x + 0.7 * side, y)]
        outline += [axes.point(x + 0.7 * side, y + 0.35), axes.point(x, y + 0.35)]
        fill(band, np.array(outline), 1)
    return float((hair & (band > 0)).sum()) / axes.eye_distance_px**2


def _indices(image: np.ndarray) -> tuple[np.ndarray, ...]:
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB)
    return tuple(np.moveaxis(lab >> 3, -1, 0).astype(np.int64))


def _histogram(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    lightness, a, b = (channel[mask] for channel in _indices(image))
    flat = np.bincount((lightness * _BINS + a) * _BINS + b, minlength=_BINS**3)
    return flat.reshape(_BINS, _BINS, _BINS).astype(np.float64)


def _density(histogram: np.ndarray) -> np.ndarray:
    smooth = ndimage.gaussian_filter(histogram, sigma=(1.5, 0.6, 0.6))
    return smooth / smooth.sum()


def _looked_up(table: np.ndarray, image: np.ndarray) -> np.ndarray:
    return table[_indices(image)].astype(np.float32)


def _smooth(values: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(values.astype(np.float32), (0, 0), 1.5)


def _logit(probability: np.ndarray) -> np.ndarray:
    clipped = np.clip(probability, 0.02, 0.98)
    return np.log(clipped / (1 - clipped))


def _place_transform(axes: FaceAxes) -> np.ndarray:
    """Affine map from the map of places to px of the frame."""
    left, right, top, bottom = _PLACE_RANGE
    per_column, per_row = (right - left) / _PLACE_SIZE, (bottom - top) / _PLACE_SIZE
    across, along = axes.right * axes.eye_distance_px, axes.down * axes.eye_distance_px
    start = axes.origin + across * (left + per_column / 2) + along * (top + per_row / 2) - 0.5
    return np.stack([across * per_column, along * per_row, start], axis=-1)


def _to_places(values: np.ndarray, axes: FaceAxes) -> np.ndarray:
    return cv2.warpAffine(
        values.astype(np.float32),
        _place_transform(axes),
        (_PLACE_SIZE, _PLACE_SIZE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _from_places(places: np.ndarray, axes: FaceAxes, height: int, width: int) -> np.ndarray:
    return cv2.warpAffine(
        places.astype(np.float32),
        _place_transform(axes),
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
