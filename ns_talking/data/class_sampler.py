"""Pixels by class: the worse a class is learned, the more of its pixels a step looks at."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ns_talking.data.face_classes import NUM_CLASSES
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


class ClassPixelSampler(DrawnPixelSampler):
    """Shares out the rays of every frame in proportion to the mean loss of its classes, uniformly within a class.

    Until the losses are known, pixels lie anywhere.
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
        labels = np.stack([self.budget.classes(int(frame)).reshape(-1) for frame in frames])
        available = np.stack([np.bincount(one, minlength=NUM_CLASSES) for one in labels])
        # The rays are dealt to the frames like cards.
        num_rays = np.bincount(
            (np.arange(self.num_rays_per_batch) + stream.integers(len(frames))) % len(frames), minlength=len(frames)
        )
        counts = allocate_rays(self.budget.losses, available, num_rays, self.config.floor, self.config.cap)
        indices = []
        for frame, label, count, total in zip(frames, labels, counts, available, strict=True):
            # Pixels of one class follow each other; a stable sort of bytes is a counting sort.
            by_class = np.argsort(label, kind="stable")
            start = np.repeat(total.cumsum() - total, count)
            place = (stream.random(len(start)) * np.repeat(total, count)).astype(np.int64)
            y, x = np.divmod(by_class[start + place], self.boxes.width)
            indices.append(np.stack([np.full_like(y, frame), y, x], axis=1))
        picked = np.concatenate(indices)
        return PickedPixels(indices=picked, group=np.full(len(picked), int(PixelGroup.CLASS)))
