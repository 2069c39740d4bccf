"""Silhouettes of regions or classes in some frames, from which visual hulls are carved, and areas of classes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ns_talking.data.face_classes import NUM_CLASSES, FaceClass
from ns_talking.data.format import Region
from ns_talking.data.portrait_dataset import PortraitDataset

_MARGIN = 0.02
"""Silhouettes are grown by this share of the image's width: what segmentation and tracking may be wrong by."""


def region_masks(
    dataset: PortraitDataset, num_views: int, regions: Sequence[Region]
) -> tuple[Bool[Tensor, "frames height width"], Float[Tensor, "frames 3 4"]]:
    """Take the grown silhouette of regions in frames spread evenly over a split.

    Args:
        dataset: The split.
        num_views: How many frames; fewer where the split is shorter.
        regions: What belongs to the silhouette.

    Returns:
        Masks at the working size, and the camera-to-world matrices of their frames.
    """
    rows = _spread(dataset, num_views)
    radius = max(1, round(_MARGIN * dataset.width))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    masks = [cv2.dilate(np.isin(dataset.frame(int(row)).parsing, regions).astype(np.uint8), kernel) for row in rows]
    return torch.from_numpy(np.stack(masks)).bool(), dataset.cameras.camera_to_worlds[torch.from_numpy(rows)]


def class_masks(
    dataset: PortraitDataset, num_views: int, classes: Sequence[FaceClass]
) -> tuple[Bool[Tensor, "frames height width"], Float[Tensor, "frames 3 4"]]:
    """Take the silhouette of classes in frames spread evenly over a split that tells classes; not grown.

    Args:
        dataset: The split.
        num_views: How many frames; fewer where the split is shorter.
        classes: What belongs to the silhouette.

    Returns:
        Masks at the working size, and the camera-to-world matrices of their frames.
    """
    rows = _spread(dataset, num_views)
    masks = np.stack([np.isin(dataset.frame(int(row)).classes, classes) for row in rows])
    return torch.from_numpy(masks), dataset.cameras.camera_to_worlds[torch.from_numpy(rows)]


def class_areas(dataset: PortraitDataset, num_views: int) -> Float[Tensor, " classes"]:
    """Measure which share of the picture each class has, in frames spread evenly over a split that tells classes.

    Args:
        dataset: The split.
        num_views: How many frames; fewer where the split is shorter.

    Returns:
        Shares that sum to 1.
    """
    shown = np.stack([dataset.frame(int(row)).classes for row in _spread(dataset, num_views)])
    return torch.from_numpy(np.bincount(shown.ravel(), minlength=NUM_CLASSES) / shown.size).float()


def _spread(dataset: PortraitDataset, num_views: int) -> Int[np.ndarray, " views"]:
    return np.unique(np.linspace(0, len(dataset) - 1, num_views).round().astype(int))
