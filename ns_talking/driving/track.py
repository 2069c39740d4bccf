"""Everything that drives a portrait: one track, asked for instants, answers with conditions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ns_talking.audio.base import FeatureTable
from ns_talking.audio.base import num_frames_of as num_frames_of
from ns_talking.driving.lent_poses import LentPoses
from ns_talking.driving.windows import CONTEXT, context_windows
from ns_talking.utils.device import upload

Pose = Literal["track", "still"]
Silence = Literal["rest", "off"]


@dataclass(frozen=True)
class Condition:
    """What the rays of a batch are rendered under: a row per distinct frame, and the row of every ray."""

    audio: Float[Tensor, "frames context channels window"]
    """Raw features."""
    blink: Float[Tensor, " frames"]
    """0 open, 1 closed."""
    head_pose: Float[Tensor, "frames 3 4"]
    """Camera-to-world, OpenGL axes: the head stands still and the camera moves around it."""
    voice: Float[Tensor, " frames"]
    """1 while somebody speaks, 0 in pauses, in which the mouth rests."""
    frame: Int[Tensor, " frames"]
    """Index in the track, ascending, each once."""
    row: Int[Tensor, " rays"]
    """Row, in the fields above, of each ray."""


@dataclass(frozen=True)
class DrivingTrack:
    """Audio, blinks and head poses over time; the model knows nothing else about where they come from."""

    features: FeatureTable
    blink: Float[np.ndarray, " frames"]
    """0 open, 1 closed."""
    head_poses: Float[np.ndarray, "frames 4 4"] | LentPoses
    """Camera-to-world, OpenGL axes."""
    fps: float = 25.0
    context: int = CONTEXT
    """Audio windows per frame."""
    source_frames: Int[np.ndarray, " sources"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Frame of the clip that lends its pose and blink to each frame; left out, the track is the clip's own."""
    voice: Float[np.ndarray, " frames"] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    """Voice activity of each frame; left out, the sound moves the mouth in pauses as well."""

    def __post_init__(self) -> None:
        if len(self.blink) != len(self.head_poses) or len(self.blink) == 0:
            raise ValueError(
                f"A driving track needs a blink and a head pose per frame, found {len(self.blink)} and "
                f"{len(self.head_poses)}. Process the video again."
            )
        if len(self.source_frames) == 0:
            object.__setattr__(self, "source_frames", np.arange(len(self.blink)))
        if len(self.voice) == 0:
            object.__setattr__(self, "voice", np.ones(len(self.blink), dtype=np.float32))

    @property
    def num_frames(self) -> int:
        """Number of video frames."""
        return len(self.blink)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_frames / self.fps

    def times(self) -> Float[np.ndarray, " frames"]:
        """Give the instant of every frame as the fraction of the duration that Nerfstudio's cameras carry."""
        return np.arange(self.num_frames) / self.num_frames

    def frames(self, times: Float[Tensor, "*rays"]) -> Int[Tensor, "*rays"]:
        """Find the frame nearest to each instant.

        Times are read in double precision: a time stored as float32 is off by less than 1/100 of a frame over two
        hours, so rounding to the nearest frame is exact for any track that fits on a disk.

        Args:
            times: In [0, 1] over the track; values outside give the first or last frame.
        """
        nearest = torch.floor(times.double() * self.num_frames + 0.5).long()
        return nearest.clamp(0, self.num_frames - 1)

    def at(self, times: Float[Tensor, "*rays"], device: torch.device | None = None) -> Condition:
        """Say what drives the portrait at the instant of each ray.

        Args:
            times: In [0, 1] over the track, one per ray; a trailing axis of length 1 is welcome.
            device: Where the answer is needed; None answers on the device of `times`. Times in the host's memory spare
                the program waiting for a GPU.

        Returns:
            Tensors without gradients.
        """
        return self.at_frames(self.frames(times.detach()), device)

    def at_frames(self, frames: Int[Tensor, "*rays"], device: torch.device | None = None) -> Condition:
        """Say what drives the portrait in the frame of each ray.

        Args:
            frames: Indices in the track, one per ray.
            device: Where the answer is needed; None answers on the device of `frames`.

        Raises:
            IndexError: When a frame lies outside the track.
        """
        device = device or frames.device
        index, row = _distinct(frames.reshape(-1).cpu().numpy())
        if len(index) and (index[0] < 0 or index[-1] >= self.num_frames):
            raise IndexError(f"The track has frames 0 .. {self.num_frames - 1}, asked for {index[0]} .. {index[-1]}.")
        audio = context_windows(self.features, index, self.fps, self.context)
        return Condition(
            audio=upload(audio, device),
            blink=upload(np.asarray(self.blink[index], dtype=np.float32), device),
            head_pose=upload(np.asarray(self.head_poses[index][:, :3], dtype=np.float32), device),
            voice=upload(np.asarray(self.voice[index], dtype=np.float32), device),
            frame=upload(index, device),
            row=torch.zeros(frames.numel(), dtype=torch.long, device=device) if row is None else upload(row, device),
        )


def driven(
    track: DrivingTrack,
    features: FeatureTable,
    num_frames: int | None = None,
    pose: Pose = "track",
    start_frame: int | None = None,
    voice: Float[np.ndarray, " frames"] | None = None,
) -> DrivingTrack:
    """Let other sound drive a portrait, with the poses and blinks of its clip.

    Args:
        track: The clip's own track.
        features: Features of the other sound.
        num_frames: Length; None covers the sound.
        pose: `track` moves the head as in the clip, forward and backward in turns; `still` holds it, while the eyes
            blink as in the clip.
        start_frame: Frame of the clip that lends the first pose and blink. None: 0, and for `still` the pose nearest
            to the clip's mean.
        voice: Voice activity of each frame, for the mouth to rest in pauses; None lets the sound move it throughout.

    Raises:
        ValueError: When `start_frame` lies outside the clip, or `pose` is unknown.
    """
    if pose not in ("track", "still"):
        raise ValueError(f"There is no pose {pose!r}. Known: track, still.")
    period = track.num_frames
    if start_frame is not None and not 0 <= start_frame < period:
        raise ValueError(f"The clip has frames 0 .. {period - 1}, frame {start_frame} was asked for.")
    num_frames = num_frames or num_frames_of(features.duration_s, track.fps)
    source = mirrored_indices(num_frames, period, start_frame or 0)
    clip_poses = np.asarray(track.head_poses)
    head_poses: np.ndarray | LentPoses = LentPoses(clip_poses, source)
    if pose == "still":
        held = nearest_to_mean(clip_poses) if start_frame is None else start_frame
        head_poses = np.broadcast_to(clip_poses[held], (num_frames, 4, 4))
    return DrivingTrack(
        features,
        track.blink[source],
        head_poses,
        track.fps,
        track.context,
        track.source_frames[source],
        np.ones(num_frames, dtype=np.float32) if voice is None else voice,
    )


def mirrored_indices(num_frames: int, period: int, start: int = 0) -> Int[np.ndarray, " frames"]:
    """Walk through `period` frames forward, backward, forward ... from a start; the end frames come twice in a row.

    Source:
        The AD-NeRF family's order for sound longer than the clip: turn = k // P, r = k % P, r or P - 1 - r.
    """
    turn, rest = np.divmod(np.arange(start, start + num_frames), period)
    return np.where(turn % 2 == 0, rest, period - 1 - rest)


def nearest_to_mean(head_poses: Float[np.ndarray, "frames 4 4"] | LentPoses) -> int:
    """Find the frame whose camera is nearest to the mean camera, all matrix entries weighed alike."""
    flat = np.asarray(head_poses, dtype=np.float64)[:, :3].reshape(len(head_poses), -1)
    return int(np.argmin(((flat - flat.mean(0)) ** 2).sum(1)))


def _distinct(
    frames: Int[np.ndarray, " rays"],
) -> tuple[Int[np.ndarray, " frames"], Int[np.ndarray, " rays"] | None]:
    """Distinct frames, ascending, and the place of every ray's among them; None where there is but one.

    Rays come frame by frame as a rule, which spares sorting them.
    """
    starts = np.flatnonzero(np.diff(frames, prepend=frames[:1] - 1))
    index = frames[starts]
    if len(index) == 1:
        return index, None
    if (np.diff(index) > 0).all():
        return index, np.repeat(np.arange(len(index)), np.diff(starts, append=len(frames)))
    index, row = np.unique(frames, return_inverse=True)
    return index, row.reshape(-1)
