"""Which pixels a training step looks at: uniform, mouth-boosted, the lips square, square patches.

Every sampler draws from a stream that is a function of seed, process and step alone, so that a resumed run continues
with the very pixels it would have seen, and every process of a distributed run sees others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from jaxtyping import Float, Int64, UInt8
from nerfstudio.configs.base_config import InstantiateConfig

from ns_talking.data.face_boxes import FaceBoxes

SAMPLERS = {
    "uniform": "ns_talking.data.pixel_samplers:UniformPixelSamplerConfig",
    "mouth": "ns_talking.data.pixel_samplers:MouthPixelSamplerConfig",
    "lips": "ns_talking.data.pixel_samplers:LipsPixelSamplerConfig",
    "patches": "ns_talking.data.pixel_samplers:PatchesPixelSamplerConfig",
    "classes": "ns_talking.data.class_sampler:ClassPixelSamplerConfig",
    "alternating": "ns_talking.data.pixel_samplers:AlternatingPixelSamplerConfig",
}


class PixelGroup(IntEnum):
    """Why a sampler picked a pixel."""

    ANYWHERE = 0
    FACE = 1
    MOUTH = 2
    EYES = 3
    LIPS = 4
    """Of the lips square."""
    PATCH = 5
    CLASS = 6
    """For its `FaceClass`."""
    EDGE = 7
    """Of the background right beside the person."""


@dataclass(frozen=True)
class PickedPixels:
    """Pixels of one step, frame by frame."""

    indices: Int64[np.ndarray, "rays 3"]
    """Row of the frame in its split, row and column of the pixel."""
    group: Int64[np.ndarray, " rays"]
    """`PixelGroup` of every pixel."""
    patch: int | None = None
    """Side in px where the pixels form square patches, each row by row; None where they do not."""


@dataclass
class ClassBudget:
    """What samplers know about the classes of pixels, and how the rays are to be shared out among them."""

    classes: Callable[[int], UInt8[np.ndarray, "height width"]]
    """Gives the `FaceClass` of every pixel of a frame, by its row in the split."""
    losses: Float[np.ndarray, " classes"] | None = None
    """Mean loss of each class; None while nothing is known yet."""


@dataclass
class PortraitPixelSamplerConfig(InstantiateConfig):
    """What all samplers have: how frames are chosen."""

    _target: type = field(default_factory=lambda: PortraitPixelSampler)
    blink_frames: int = 0
    """Frames per step that are drawn from the blinks; blinks are rare, and uniform frames do not teach them."""
    blink_threshold: float = 0.3
    """A frame belongs to a blink when its blink value (0 open, 1 closed) lies above this."""


class PortraitPixelSampler(ABC):
    """Draws frames and pixels of one split.

    Args:
        config: Shares and sizes.
        boxes: Where face, lips and eyes are.
        num_rays_per_batch: Pixels per step.
        frames_per_batch: Distinct frames per step.
        seed: Of the stream.
        rank: Number of this process in a distributed run.
        budget: Classes of the pixels, where the data tells them.
    """

    def __init__(
        self,
        config: PortraitPixelSamplerConfig,
        boxes: FaceBoxes,
        num_rays_per_batch: int,
        frames_per_batch: int,
        seed: int = 0,
        rank: int = 0,
        budget: ClassBudget | None = None,
    ) -> None:
        self.config = config
        self.budget = budget
        self.boxes = boxes
        self.num_rays_per_batch = num_rays_per_batch
        self.frames_per_batch = frames_per_batch
        self.seed = seed
        self.rank = rank

    @abstractmethod
    def frames(self, step: int) -> Int64[np.ndarray, " frames"]:
        """Draw the frames of a step, distinct and in time order."""

    @abstractmethod
    def sample(self, step: int) -> PickedPixels:
        """Draw the pixels of a step."""


class DrawnPixelSampler(PortraitPixelSampler):
    """Draws the frames of a step, then pixels in them, from the step's stream."""

    def frames(self, step: int) -> Int64[np.ndarray, " frames"]:
        """Draw the frames of a step."""
        return np.sort(self._draw_frames(self._stream(step)))

    def sample(self, step: int) -> PickedPixels:
        """Draw the pixels of a step."""
        stream = self._stream(step)
        return self._draw_pixels(np.sort(self._draw_frames(stream)), stream)

    @abstractmethod
    def _draw_pixels(self, frames: np.ndarray, stream: np.random.Generator) -> PickedPixels: ...

    def _num_frames(self) -> int:
        return min(self.frames_per_batch, self.boxes.num_frames)

    def _stream(self, step: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, self.rank, step])))

    def _draw_frames(self, stream: np.random.Generator) -> np.ndarray:
        num_frames = self._num_frames()
        blinking = np.flatnonzero(self.boxes.blink > self.config.blink_threshold)
        num_blinks = min(self.config.blink_frames, len(blinking), num_frames)
        blinks = stream.choice(blinking, num_blinks, replace=False) if num_blinks else np.empty(0, np.int64)
        others = stream.choice(self.boxes.num_frames, num_frames, replace=False)
        others = others[~np.isin(others, blinks)]
        return np.concatenate([blinks, others[: num_frames - num_blinks]])


@dataclass
class UniformPixelSamplerConfig(PortraitPixelSamplerConfig):
    """Every pixel is as likely as any other."""

    _target: type = field(default_factory=lambda: UniformPixelSampler)


class UniformPixelSampler(DrawnPixelSampler):
    """Draws pixels anywhere."""

    def _draw_pixels(self, frames: np.ndarray, stream: np.random.Generator) -> PickedPixels:
        return scatter(self.boxes, frames, [(PixelGroup.ANYWHERE, self.num_rays_per_batch)], stream)


@dataclass
class MouthPixelSamplerConfig(PortraitPixelSamplerConfig):
    """More pixels where a talking head moves."""

    _target: type = field(default_factory=lambda: MouthPixelSampler)
    mouth_share: float = 0.375
    """Share of the pixels that lie in the box around the mouth."""
    eye_share: float = 0.10
    """Share of the pixels that lie in the boxes around the eyes."""
    face_share: float = 0.0
    """Share of the pixels that lie anywhere in the box around the face; the rest lies anywhere in the image."""
    blink_frames: int = 2


class MouthPixelSampler(DrawnPixelSampler):
    """Draws fixed shares of the pixels in the boxes of mouth, eyes and face."""

    config: MouthPixelSamplerConfig

    def _draw_pixels(self, frames: np.ndarray, stream: np.random.Generator) -> PickedPixels:
        num_rays, config = self.num_rays_per_batch, self.config
        shares = {
            PixelGroup.MOUTH: config.mouth_share,
            PixelGroup.EYES: config.eye_share,
            PixelGroup.FACE: config.face_share,
        }
        if min(shares.values()) < 0 or sum(shares.values()) > 1:
            raise ValueError(
                f"The shares of mouth ({config.mouth_share:g}), eyes ({config.eye_share:g}) and face "
                f"({config.face_share:g}) must not be negative and sum to at most 1. Lower one of them."
            )
        counts = [(group, round(share * num_rays)) for group, share in shares.items()]
        rest = num_rays - sum(count for _, count in counts)
        return scatter(self.boxes, frames, [*counts, (PixelGroup.ANYWHERE, max(rest, 0))], stream)


@dataclass
class LipsPixelSamplerConfig(PortraitPixelSamplerConfig):
    """All pixels of the square around the lips of one frame, for perceptual losses."""

    _target: type = field(default_factory=lambda: LipsPixelSampler)
    max_side: int = 128
    """Longest side of the square in px; a larger mouth is cut around its centre."""


class LipsPixelSampler(DrawnPixelSampler):
    """Draws one frame and takes the whole square around its lips."""

    config: LipsPixelSamplerConfig

    def _num_frames(self) -> int:
        return 1

    def _draw_pixels(self, frames: np.ndarray, stream: np.random.Generator) -> PickedPixels:
        x0, y0, x1, _ = self.boxes.lips[frames[0]]
        side = min(int(x1 - x0), self.config.max_side)
        cut = (int(x1 - x0) - side) // 2
        return _squares(frames[:1], np.array([[x0 + cut, y0 + cut]]), side, PixelGroup.LIPS)


@dataclass
class PatchesPixelSamplerConfig(PortraitPixelSamplerConfig):
    """Square patches, for losses on structure; ER-NeRF's `patch_size`."""

    _target: type = field(default_factory=lambda: PatchesPixelSampler)
    side: int = 32
    """Side of a patch in px."""
    face_share: float = 0.5
    """Chance of a patch to be centred in the face's box; the others lie anywhere in the image."""


class PatchesPixelSampler(DrawnPixelSampler):
    """Draws as many patches as fit into the pixels of a step, one at least, over its frames in turn."""

    config: PatchesPixelSamplerConfig

    def _draw_pixels(self, frames: np.ndarray, stream: np.random.Generator) -> PickedPixels:
        side, limit = self.config.side, np.array([self.boxes.width, self.boxes.height]) - self.config.side
        if limit.min() < 0:
            raise ValueError(
                f"Patches of {side} px do not fit into images of {self.boxes.width}x{self.boxes.height} px. "
                "Choose smaller patches or a larger working size."
            )
        num_patches = max(1, self.num_rays_per_batch // side**2)
        patch_frames = np.sort(np.resize(frames, num_patches))
        anywhere = stream.integers(0, limit + 1, (num_patches, 2))
        face = self.boxes.face[patch_frames]
        centred = np.clip(stream.integers(face[:, :2], face[:, 2:]) - side // 2, 0, limit)
        in_face = stream.random(num_patches) < self.config.face_share
        corners = np.where(in_face[:, None], centred, anywhere)
        return _squares(patch_frames, corners, side, PixelGroup.PATCH)

    def _num_frames(self) -> int:
        return min(super()._num_frames(), max(1, self.num_rays_per_batch // self.config.side**2))


@dataclass
class AlternatingPixelSamplerConfig(PortraitPixelSamplerConfig):
    """Two samplers in turns, as the released lips fine-tuning of RAD-NeRF and ER-NeRF."""

    _target: type = field(default_factory=lambda: AlternatingPixelSampler)
    even: PortraitPixelSamplerConfig = field(default_factory=LipsPixelSamplerConfig)
    """Pixels of even steps."""
    odd: PortraitPixelSamplerConfig = field(default_factory=UniformPixelSamplerConfig)
    """Pixels of odd steps."""


class AlternatingPixelSampler(PortraitPixelSampler):
    """Asks two samplers in turns."""

    def __init__(
        self,
        config: AlternatingPixelSamplerConfig,
        boxes: FaceBoxes,
        num_rays_per_batch: int,
        frames_per_batch: int,
        seed: int = 0,
        rank: int = 0,
        budget: ClassBudget | None = None,
    ) -> None:
        super().__init__(config, boxes, num_rays_per_batch, frames_per_batch, seed, rank, budget)
        self._samplers: list[PortraitPixelSampler] = [
            one.setup(
                boxes=boxes,
                num_rays_per_batch=num_rays_per_batch,
                frames_per_batch=frames_per_batch,
                seed=seed,
                rank=rank,
                budget=budget,
            )
            for one in (config.even, config.odd)
        ]

    def frames(self, step: int) -> Int64[np.ndarray, " frames"]:
        """Draw the frames of a step, as the sampler whose turn it is."""
        return self._samplers[step % 2].frames(step)

    def sample(self, step: int) -> PickedPixels:
        """Draw the pixels of a step, as the sampler whose turn it is."""
        return self._samplers[step % 2].sample(step)


def scatter(
    boxes: FaceBoxes, frames: np.ndarray, counts: list[tuple[PixelGroup, int]], stream: np.random.Generator
) -> PickedPixels:
    """Draw a number of pixels of each group, spread evenly over the frames."""
    group = np.repeat([int(group) for group, _ in counts], [count for _, count in counts])
    # The pixels are dealt to the frames like cards, so that each frame has its share of every group.
    row = (np.arange(len(group)) + stream.integers(len(frames))) % len(frames)
    order = np.argsort(row, kind="stable")
    group, frame = group[order], frames[row[order]]
    limits = np.tile(np.array([0, 0, boxes.width, boxes.height]), (len(group), 1))
    left = stream.random(len(group)) < 0.5
    for wanted, where in (
        (PixelGroup.FACE, boxes.face),
        (PixelGroup.MOUTH, boxes.mouth),
        (PixelGroup.EYES, boxes.right_eye),
    ):
        rays = np.flatnonzero(group == wanted)
        limits[rays] = where[frame[rays]]
    rays = np.flatnonzero((group == PixelGroup.EYES) & left)
    limits[rays] = boxes.left_eye[frame[rays]]
    size = limits[:, 2:] - limits[:, :2]
    xy = limits[:, :2] + (stream.random((len(group), 2)) * size).astype(np.int64)
    return PickedPixels(indices=np.stack([frame, xy[:, 1], xy[:, 0]], axis=1), group=group)


def _squares(frames: np.ndarray, corners: np.ndarray, side: int, group: PixelGroup) -> PickedPixels:
    """List the pixels of squares, each row by row."""
    y, x = np.divmod(np.arange(side * side), side)
    indices = np.stack(
        [
            np.repeat(frames, side * side),
            (corners[:, 1:] + y).reshape(-1),
            (corners[:, :1] + x).reshape(-1),
        ],
        axis=1,
    )
    return PickedPixels(indices=indices, group=np.full(len(indices), int(group)), patch=side)
