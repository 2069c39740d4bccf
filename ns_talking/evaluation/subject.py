"""What is evaluated: a portrait, the frames of its clip, and where head, mouth and background are in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8

from ns_talking.data.face_boxes import face_boxes
from ns_talking.data.format import HEAD_REGIONS, PortraitFrame, Region
from ns_talking.data.frame_store import PortraitImage
from ns_talking.evaluation.protocol import Torso

if TYPE_CHECKING:
    from ns_talking.data.portrait_dataset import PortraitDataset
    from ns_talking.driving.track import DrivingTrack
    from ns_talking.pipelines.portrait import PortraitPipeline

Image = UInt8[np.ndarray, "height width 3"]
_MARGIN_SHARE = 0.03
"""Background counts this share of the width away from the person."""


@dataclass(frozen=True)
class Subject:
    """A portrait, what drives it, and the real frames it is compared with."""

    pipeline: PortraitPipeline
    track: DrivingTrack
    """What drives it; index k of it is the instant k / fps of the sound."""
    indices: Int[np.ndarray, " frames"]
    """The frames of the track that are measured."""
    sources: Int[np.ndarray, " frames"]
    """The frame of the clip that each is compared with: its own, or the one that lends its pose."""

    @classmethod
    def held_out(cls, pipeline: PortraitPipeline, max_seconds: float | None = None) -> Subject:
        """Take the frames that the training held out.

        Raises:
            ValueError: When it held none out.
        """
        track = pipeline.clip_track
        frames = [frame.index for frame in pipeline.datamanager.eval_dataset.frames]
        if not frames:
            raise ValueError(
                "The dataset holds no frames out, so there is nothing to evaluate on. Process the video again; "
                "the last 1/11 is held out by itself."
            )
        indices = np.array(frames, dtype=np.int64)
        if max_seconds is not None:
            indices = indices[indices < indices[0] + max(1, round(max_seconds * track.fps))]
        return cls(pipeline, track, indices, indices)

    @classmethod
    def driven(cls, pipeline: PortraitPipeline, track: DrivingTrack, max_seconds: float | None = None) -> Subject:
        """Take all frames of other sound whose pose was lent by a usable frame."""
        usable = {frame.index for frame in pipeline.datamanager.train_dataset.portrait.frames}
        count = track.num_frames
        if max_seconds is not None:
            count = min(count, max(1, round(max_seconds * track.fps)))
        indices = np.array([k for k in range(count) if int(track.source_frames[k]) in usable], dtype=np.int64)
        return cls(pipeline, track, indices, np.asarray(track.source_frames)[indices])

    @property
    def test(self) -> PortraitDataset:
        """The held-out part of the clip."""
        return self.pipeline.datamanager.eval_dataset

    @property
    def train(self) -> PortraitDataset:
        """The training part of the clip."""
        return self.pipeline.datamanager.train_dataset

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of all frames in px."""
        return self.test.width, self.test.height

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.track.fps

    def __len__(self) -> int:
        return len(self.indices)

    def real(self, number: int) -> PortraitImage:
        """Read the real frame that a measured one is compared with."""
        return self.test.store.frame(self._frames()[int(self.sources[number])])

    def real_images(self) -> Iterator[Image]:
        """Read all of them, one by one."""
        for number in range(len(self)):
            yield np.ascontiguousarray(self.real(number).image)

    def mouths(self) -> Int[np.ndarray, "frames 4"]:
        """Bound the mouth in each real frame, in whole pixels."""
        frames, places = np.unique(self.sources, return_inverse=True)
        return face_boxes(self.test.portrait, frames.tolist(), *self.size).mouth[places]

    def _frames(self) -> dict[int, PortraitFrame]:
        frames = self.__dict__.get("_by_index")
        if frames is None:
            frames = {frame.index: frame for frame in self.test.portrait.frames}
            object.__setattr__(self, "_by_index", frames)
        return frames


class Row(Protocol):
    """Gives the images of one row of the table."""

    def __call__(self, subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
        """Give each measured frame in turn, over each torso asked for.

        Raises:
            ValueError: When it cannot; the message is the reason that stands in the table.
        """
        ...


def head_mask(image: PortraitImage) -> Bool[np.ndarray, "height width"]:
    """Tell the pixels of head and hair."""
    return np.isin(image.parsing, HEAD_REGIONS)


def free_background(image: PortraitImage) -> Bool[np.ndarray, "height width"]:
    """Tell the pixels of the background that keep away from the person."""
    side = 2 * max(1, round(_MARGIN_SHARE * image.parsing.shape[1])) + 1
    person = (image.parsing != Region.BACKGROUND).astype(np.uint8)
    return cv2.dilate(person, np.ones((side, side), np.uint8)) == 0
