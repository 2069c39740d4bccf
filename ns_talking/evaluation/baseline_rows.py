"""Rows that know nothing about the sound, or nothing but the sound: what a portrait has to beat."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from jaxtyping import Float

from ns_talking.data.landmarks import scheme
from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.evaluation.protocol import Torso
from ns_talking.evaluation.real_rows import own_torso_only
from ns_talking.evaluation.subject import Image, Subject
from ns_talking.utils.mapped import release

_MEAN_STRIDE = 4
_MOST_SOUNDS = 4000
"""Training frames whose sound is looked through; more are thinned out, so that memory does not grow with the clip."""


def mean_frame(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Give the mean of the training frames, always the same."""
    own_torso_only("mean-frame", torsos)
    train = subject.train
    rows = range(0, len(train), _MEAN_STRIDE)
    total = np.zeros((train.height, train.width, 3))
    for row in rows:
        total += train.frame(row).image
    image = _bytes(total / len(rows))
    for _ in range(len(subject)):
        yield {"own": image}


def nearest_pose(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Give the training frame whose head pose is nearest, in the 12 numbers of its matrix."""
    own_torso_only("nearest-pose", torsos)
    poses = subject.train.portrait.head_poses[:, :3].reshape(-1, 12)
    candidates = poses[[frame.index for frame in subject.train.frames]]
    for source in subject.sources:
        nearest = int(np.argmin(np.abs(candidates - poses[source]).sum(axis=1)))
        yield {"own": np.ascontiguousarray(subject.train.frame(nearest).image)}


def nearest_sound(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Give the training frame whose window of audio features is nearest, each number at its spread."""
    own_torso_only("nearest-sound", torsos)
    stride = -(-len(subject.train) // _MOST_SOUNDS)
    rows = range(0, len(subject.train), stride)
    candidates = _sounds(subject, np.array([subject.train.frames[row].index for row in rows]))
    mean, spread = candidates.mean(axis=0), candidates.std(axis=0) + 1e-6
    candidates = (candidates - mean) / spread
    for index in subject.indices:
        sound = (_sounds(subject, index[None])[0] - mean) / spread
        nearest = int(np.argmin(np.square(candidates - sound).sum(axis=1)))
        yield {"own": np.ascontiguousarray(subject.train.frame(rows[nearest]).image)}


def mean_face(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Give the mean of the training faces, aligned by the landmarks that expressions leave in place."""
    own_torso_only("mean-face", torsos)
    train = subject.train
    points = RigidPoints(train)
    rows = range(0, len(train), _MEAN_STRIDE)
    reference = points[train.frames[len(train) // 2].index]
    mean = np.zeros((train.height, train.width, 3), dtype=np.float32)
    for row in rows:
        mean += warped(train.frame(row).image, points[train.frames[row].index], reference) / len(rows)
    for source in subject.sources.tolist():
        yield {"own": _bytes(warped(mean, reference, points[source]))}


class RigidPoints:
    """The landmarks that expressions leave in place, of any frame of the clip, in px of the working size."""

    def __init__(self, dataset: PortraitDataset) -> None:
        self._portrait = dataset.portrait
        layout = scheme(self._portrait.landmark_scheme)
        self._stable = np.setdiff1d(np.arange(layout.num_points), np.concatenate([layout.movable, layout.jaw]))
        self._scale = dataset.width / self._portrait.width

    def __getitem__(self, frame: int) -> Float[np.ndarray, "points 2"]:
        points = self._portrait.landmarks[frame, self._stable, :2].astype(np.float64) * self._scale
        release(self._portrait.landmarks)
        return points


def warped(
    image: np.ndarray, points: Float[np.ndarray, "points 2"], target: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, "height width channels"]:
    """Move an image by the similarity that brings its points closest to the target's."""
    transform, _ = cv2.estimateAffinePartial2D(points - 0.5, target - 0.5, method=cv2.LMEDS)
    size = image.shape[1], image.shape[0]
    moved = cv2.warpAffine(
        image.astype(np.float32), transform, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return moved.reshape(*image.shape[:2], -1)


def _sounds(subject: Subject, indices: np.ndarray) -> Float[np.ndarray, "frames numbers"]:
    track = subject.pipeline.clip_track if indices.max() < subject.pipeline.clip_track.num_frames else subject.track
    parts = []
    for part in np.array_split(indices, -(-len(indices) // 128)):
        windows = track.at_frames(torch.from_numpy(part)).audio
        parts.append(windows[:, windows.shape[1] // 2].flatten(1).numpy())
    return np.concatenate(parts)


def _bytes(image: np.ndarray) -> Image:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
