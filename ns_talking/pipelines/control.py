"""Control at rendering: blinks and head poses other than those that the clip lends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ns_talking.data.pose_source import read_head_poses
from ns_talking.driving.blinks import blinks
from ns_talking.driving.head_motion import around_mean
from ns_talking.driving.smoothing import smooth_head_poses
from ns_talking.driving.track import DrivingTrack, mirrored_indices


@dataclass(frozen=True)
class Controls:
    """What a user decides about eyes and head."""

    pose: str = "track"
    """`track` and `still` are settled when the sound is; anything else names a file or a dataset. A dataset lends how
    its head moves, around this portrait's usual pose; a file's poses are taken as they stand. Both are played forward
    and backward."""
    blink: str = "track"
    """`track`, `off`, `natural`, or a file."""
    eyes: float | None = None
    """How far the lids are closed at least, 0 to 1."""
    smooth_s: float = 0.0
    """Standard deviation, in seconds, of the Gaussian that smooths the head poses."""

    @property
    def pose_file(self) -> Path | None:
        """File or dataset of the poses, if one was named."""
        return None if self.pose in ("track", "still") else Path(self.pose).expanduser()

    def check(self) -> None:
        """Refuse files and numbers that cannot be used, before anything is loaded.

        Raises:
            FileNotFoundError: When a file does not exist.
            ValueError: When a file or a number is unusable.
        """
        one = np.eye(4)[None]
        poses = one if self.pose_file is None else read_head_poses(self.pose_file)
        smooth_head_poses(poses[:1], self.smooth_s)
        blinks(self.blink, np.zeros(1, dtype=np.float32), 25.0, self.eyes)


def controlled(track: DrivingTrack, clip: DrivingTrack, controls: Controls) -> DrivingTrack:
    """Apply the controls to a track.

    Args:
        track: What drives the portrait, with poses and blinks of its clip.
        clip: The clip's own track.
        controls: What is to be different.

    Raises:
        FileNotFoundError: When a file does not exist.
        ValueError: When a file or a number is unusable.
    """
    head_poses = track.head_poses
    if controls.pose_file is not None:
        found = read_head_poses(controls.pose_file)
        if controls.pose_file.is_dir():
            found = around_mean(found, np.asarray(clip.head_poses))
        head_poses = found[mirrored_indices(track.num_frames, len(found))].astype(clip.head_poses.dtype)
    if controls.smooth_s:
        head_poses = smooth_head_poses(np.asarray(head_poses), controls.smooth_s, track.fps)
    return replace(
        track,
        blink=blinks(controls.blink, track.blink, track.fps, controls.eyes),
        head_poses=head_poses,
    )
