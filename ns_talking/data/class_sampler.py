"""Pixels by class: the worse a class is learned, the more of its pixels a step looks at."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8

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
    contour_width: float = 0.08
    """How far from the person the outline reaches, as a share of the picture's width."""
    anywhere_share: float = 0.0
    """Share of a step's rays that lie anywhere, whatever the losses say. The paper has none; without any, what is far
    from the person is hardly looked at, and a haze may stay there."""
    edge_share: float = 0.0
    """Share of a step's rays that lie in the background right beside the person, whatever the losses say. Nearly all of
    the background's error is there, on a few hundredths of its pixels: in its mean loss that does not show, so that the
    losses alone send hardly a ray there."""
    edge_width: float = 0.02
    """How far from the person these reach, as a share of the picture's width."""


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
        num_beside = round(self.config.edge_share * self.num_rays_per_batch)
        num_by_loss = self.num_rays_per_batch - num_anywhere - num_beside
        if min(num_anywhere, num_beside, num_by_loss) < 0:
            raise ValueError(
                f"The shares of rays that lie anywhere ({self.config.anywhere_share:g}) and beside the person "
                f"({self.config.edge_share:g}) must not be negative and sum to at most 1. Lower one of them."
            )
        labels = np.stack([self.budget.classes(int(frame)).reshape(-1) for frame in frames])
        available = np.stack([np.bincount(one, minlength=NUM_CLASSES) for one in labels])
        num_rays = _dealt(num_by_loss, len(frames), stream)
        counts = allocate_rays(self.budget.losses, available, num_rays, self.config.floor, self.config.cap)
        indices = []
        for frame, label, count, total in zip(frames.tolist(), labels, counts, available, strict=True):
            near = self._beside(label, self.config.contour_width)
            # Pixels of one class follow each other, the outline before all; a stable sort of bytes is a counting sort.
            by_class = np.argsort(np.where(near, 0, label + 1), kind="stable")
            start, size = np.repeat(total.cumsum() - total, count), np.repeat(total, count)
            if near.any():
                of_background = count[FaceClass.BACKGROUND]
                size[:of_background][stream.random(of_background) < self.config.contour_share] = near.sum()
            place = (stream.random(len(start)) * size).astype(np.int64)
            indices.append(self._in_frame(frame, by_class[start + place]))
        group = [np.full(num_by_loss, int(PixelGroup.CLASS))]
        if num_beside:
            of_frame = _dealt(num_beside, len(frames), stream)
            for frame, label, count in zip(frames.tolist(), labels, of_frame, strict=True):
                near = np.flatnonzero(self._beside(label, self.config.edge_width))
                # A person who fills the picture has no edge.
                near = near if len(near) else np.arange(len(label))
                indices.append(self._in_frame(frame, stream.choice(near, int(count))))
            group.append(np.full(num_beside, int(PixelGroup.EDGE)))
        if num_anywhere:
            anywhere = scatter(self.boxes, frames, [(PixelGroup.ANYWHERE, num_anywhere)], stream)
            indices.append(anywhere.indices)
            group.append(anywhere.group)
        joined = np.concatenate(indices)
        order = np.argsort(joined[:, 0], kind="stable")
        return PickedPixels(indices=joined[order], group=np.concatenate(group)[order])

    def _in_frame(self, frame: int, pixels: Int[np.ndarray, " rays"]) -> Int[np.ndarray, "rays 3"]:
        """Place pixels of a frame that are counted row by row."""
        y, x = np.divmod(pixels, self.boxes.width)
        return np.stack([np.full_like(y, frame), y, x], axis=1)

    def _beside(self, classes: UInt8[np.ndarray, " pixels"], width: float) -> Bool[np.ndarray, " pixels"]:
        """Find the background that is no further from the person than a share of the picture's width."""
        person = (classes != FaceClass.BACKGROUND).astype(np.uint8).reshape(self.boxes.height, self.boxes.width)
        radius = max(1, round(width * self.boxes.width))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        return ((cv2.dilate(person, kernel) > 0) & (person == 0)).reshape(-1)


def _dealt(num_rays: int, num_frames: int, stream: np.random.Generator) -> Int[np.ndarray, " frames"]:
    """Deal rays to frames like cards; who is first is drawn."""
    return np.bincount((np.arange(num_rays) + stream.integers(num_frames)) % num_frames, minlength=num_frames)
