"""Pixels by class: the worse a class is learned, the more of its pixels a step looks at."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from ns_talking.data.face_classes import NUM_CLASSES, FaceClass
from ns_talking.data.pixel_samplers import (
    DrawnPixelSampler,
    PickedPixels,
    PixelGroup,
    PortraitPixelSamplerConfig,
    scatter,
)
from ns_talking.data.ray_allocation import allocate_rays


@dataclass
class ClassPixelSamplerConfig(PortraitPixelSamplerConfig):
    """Semantic-aware dynamic ray sampling of SSP-NeRF; what its figure leaves open is ours."""

    _target: type = field(default_factory=lambda: ClassPixelSampler)
    floor: float = 1 / (4 * NUM_CLASSES)
    """Least share of a frame's rays that a class gets which the frame shows."""
    cap: float = 0.4
    """Largest share of a frame's rays that a class gets."""
    contour_share: float = 0.7
    """Share of the background's rays that lie along the outline of the person; the rest lies anywhere in it. What is
    far from the person is the plate from the first step on, and its rays teach nothing."""
    anywhere_share: float = 0.0
    """Share of a step's rays that lie anywhere, whatever the losses say. The paper has none; without any, what is far
    from the person is hardly looked at, and a haze may stay there."""
    contour_width: float = 0.08
    """How far from the person the outline reaches, as a share of the picture's width."""


class ClassPixelSampler(DrawnPixelSampler):
    """Shares out the rays of every frame in proportion to the mean loss of its classes, uniformly within a class.

    Until the losses are known, pixels lie anywhere. The background's mean loss is mostly that of its part along the
    outline, where its rays are.
    """

    config: ClassPixelSamplerConfig

    def _draw_pixels(self, frames: np.ndarray, stream: np.random.Generator) -> PickedPixels:
        if self.budget is None:
            raise ValueError(
                "The pixel sampler `classes` has to know the class of every pixel. Switch them on: "
                "--pipeline.datamanager.face-classes True"
            )
        if self.budget.losses is None:
            return scatter(self.boxes, frames, [(PixelGroup.ANYWHERE, self.num_rays_per_batch)], stream)
        num_anywhere = round(self.config.anywhere_share * self.num_rays_per_batch)
        labels = np.stack([self.budget.classes(int(frame)).reshape(-1) for frame in frames])
        available = np.stack([np.bincount(one, minlength=NUM_CLASSES) for one in labels])
        # The rays are dealt to the frames like cards.
        num_rays = np.bincount(
            (np.arange(self.num_rays_per_batch - num_anywhere) + stream.integers(len(frames))) % len(frames),
            minlength=len(frames),
        )
        counts = allocate_rays(self.budget.losses, available, num_rays, self.config.floor, self.config.cap)
        indices = []
        for frame, label, count, total in zip(frames, labels, counts, available, strict=True):
            near = self._contour(label.reshape(self.boxes.height, self.boxes.width)).reshape(-1)
            # Pixels of one class follow each other, the outline before all; a stable sort of bytes is a counting sort.
            by_class = np.argsort(np.where(near, 0, label + 1), kind="stable")
            start, size = np.repeat(total.cumsum() - total, count), np.repeat(total, count)
            if near.any():
                of_background = count[FaceClass.BACKGROUND]
                size[:of_background][stream.random(of_background) < self.config.contour_share] = near.sum()
            place = (stream.random(len(start)) * size).astype(np.int64)
            y, x = np.divmod(by_class[start + place], self.boxes.width)
            indices.append(np.stack([np.full_like(y, frame), y, x], axis=1))
        picked = np.concatenate(indices)
        by_loss = PickedPixels(indices=picked, group=np.full(len(picked), int(PixelGroup.CLASS)))
        if not num_anywhere:
            return by_loss
        anywhere = scatter(self.boxes, frames, [(PixelGroup.ANYWHERE, num_anywhere)], stream)
        joined = np.concatenate([by_loss.indices, anywhere.indices])
        order = np.argsort(joined[:, 0], kind="stable")
        return PickedPixels(indices=joined[order], group=np.concatenate([by_loss.group, anywhere.group])[order])

    def _contour(self, classes: UInt8[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
        """Find the background along the outline of the person."""
        person = (classes != FaceClass.BACKGROUND).astype(np.uint8)
        radius = max(1, round(self.config.contour_width * classes.shape[1]))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        return (cv2.dilate(person, kernel) > 0) & (person == 0)
