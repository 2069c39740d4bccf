"""What a portrait has to beat: images that know nothing about the sound."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from ns_talking.data.landmarks import LandmarkScheme
from ns_talking.data.portrait_dataset import PortraitDataset


def rigid_points(dataset: PortraitDataset, layout: LandmarkScheme) -> np.ndarray:
    """Give the landmarks that expressions leave in place, of all frames of the clip, in px of the working size."""
    portrait = dataset.portrait
    stable = np.setdiff1d(np.arange(layout.num_points), np.concatenate([layout.movable, layout.jaw]))
    return portrait.landmarks[:, stable, :2] * [dataset.width / portrait.width, dataset.height / portrait.height]


def baseline_images(
    train: PortraitDataset, test: PortraitDataset, layout: LandmarkScheme, stride: int = 4
) -> Iterator[dict[str, np.ndarray]]:
    """Give the images of every baseline, frame by frame of the evaluated part.

    Args:
        train: Training frames.
        test: Evaluated frames.
        layout: Landmark scheme of the dataset.
        stride: Every how many training frames the means are taken.
    """
    points = rigid_points(train, layout)
    rows = range(0, len(train), stride)
    reference = points[train.frames[len(train) // 2].index]
    mean_frame, mean_face = (np.zeros((train.height, train.width, 3), dtype=np.float32) for _ in range(2))
    for row in rows:
        image = train.frame(row).image.astype(np.float32)
        mean_frame = mean_frame + image / len(rows)
        mean_face = mean_face + _warped(image, points[train.frames[row].index], reference) / len(rows)
    train_poses = np.stack([train.portrait.head_poses[frame.index, :3] for frame in train.frames]).reshape(-1, 12)
    for frame in test.frames:
        pose = test.portrait.head_poses[frame.index, :3].reshape(12)
        nearest = int(np.argmin(np.abs(train_poses - pose).sum(axis=1)))
        yield {
            "mean frame": mean_frame,
            "nearest frame by pose": train.frame(nearest).image.astype(np.float32),
            "aligned mean face": _warped(mean_face, reference, points[frame.index]),
        }


def _warped(image: np.ndarray, points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Move an image by the similarity that brings its points closest to the target's."""
    transform, _ = cv2.estimateAffinePartial2D(points - 0.5, target - 0.5, method=cv2.LMEDS)
    size = image.shape[1], image.shape[0]
    return cv2.warpAffine(image, transform, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
