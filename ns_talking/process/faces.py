"""One person through time: which of the faces of every frame belongs to the portrait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

_REACH = 0.6
"""A face may move by this many face sizes from one frame to the next, and as much again for every missing frame."""
_MAX_REACH = 2.0
_OUTSIDE_SHARE = 0.05


@dataclass
class _Track:
    last_frame: int
    centre: Float[np.ndarray, "2"]
    size: float
    members: dict[int, int] = field(default_factory=dict)
    """Frame -> which of its faces."""
    area: float = 0.0


@dataclass(frozen=True)
class SeenFace:
    """Where a face is in its frame."""

    centre: Float[np.ndarray, "2"]
    """Mean of its landmarks, in px."""
    size: float
    """See `face_size`."""

    @classmethod
    def of(cls, points: Float[np.ndarray, "points axes"]) -> SeenFace:
        """Measure landmarks."""
        return cls(points[:, :2].mean(axis=0), face_size(points))


def follow_person(frames: Sequence[Sequence[SeenFace]]) -> list[int | None]:
    """Choose the same person in every frame: faces are linked to the nearest face before; the largest link wins.

    Largest counts area times duration, so that neither a passer-by in front nor a picture on the wall is chosen.

    Args:
        frames: All faces of every frame.

    Returns:
        Which of its faces is the person's in every frame, None where it is missing.
    """
    tracks: list[_Track] = []
    for index, faces in enumerate(frames):
        centres, sizes = [face.centre for face in faces], [face.size for face in faces]
        pairs = []
        for number, track in enumerate(tracks):
            reach = min(_REACH * (index - track.last_frame), _MAX_REACH)
            for which, centre in enumerate(centres):
                away = float(np.linalg.norm(centre - track.centre)) / max(track.size, 1e-6)
                if away <= reach and 0.5 < sizes[which] / track.size < 2.0:
                    pairs.append((away, number, which))
        taken_tracks: set[int] = set()
        taken_faces: set[int] = set()
        for _, number, which in sorted(pairs):
            if number not in taken_tracks and which not in taken_faces:
                taken_tracks.add(number)
                taken_faces.add(which)
                _extend(tracks[number], index, which, centres[which], sizes[which])
        for which in range(len(faces)):
            if which not in taken_faces:
                tracks.append(_Track(index, centres[which], sizes[which]))
                _extend(tracks[-1], index, which, centres[which], sizes[which])
    if not tracks:
        return [None] * len(frames)
    members = max(tracks, key=lambda track: track.area).members
    return [members.get(index) for index in range(len(frames))]


def face_size(points: Float[np.ndarray, "points axes"]) -> float:
    """Measure a face: the root of the area of its landmarks' bounding box, in px."""
    extent = points[:, :2].max(axis=0) - points[:, :2].min(axis=0)
    return float(np.sqrt(extent[0] * extent[1]))


def leaves_frame(
    landmarks: Float[np.ndarray, "frames points axes"], width: int, height: int
) -> Bool[np.ndarray, " frames"]:
    """Tell frames in which the face is cut off by the edge: more than one landmark in twenty lies outside."""
    x, y = landmarks[..., 0], landmarks[..., 1]
    outside = (x < 0) | (y < 0) | (x > width) | (y > height)
    return outside.mean(axis=1) > _OUTSIDE_SHARE


def _extend(track: _Track, index: int, which: int, centre: np.ndarray, size: float) -> None:
    track.members[index] = which
    track.last_frame, track.centre, track.size = index, centre, size
    track.area += size**2
