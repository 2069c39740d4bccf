"""Split of the clip into training and held-out frames: writes `transforms.json`, which makes the folder a dataset."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ns_talking.audio.extractors import feature_extractor
from ns_talking.data.format import Split, write_transforms
from ns_talking.process.frame_pool import usable_frames
from ns_talking.process.step import ProcessSettings, Progress, Workspace


class SplitStep:
    """Writes `transforms.json`."""

    name = "split"
    needs = ("frames", "landmarks", "head_pose", "parsing", "torso", "blink")
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """Files and folders that exist when the step is done."""
        return [workspace.transforms]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Only the settings that affect its outputs."""
        return {"held_out": settings.held_out, "audio_features": feature_identities(settings)}

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Do the step."""
        clip = workspace.clip()
        frames = usable_frames(workspace)
        splits = split_frames(frames.indices, clip.num_frames, workspace.settings.held_out)
        write_transforms(
            workspace.folder,
            width=clip.width,
            height=clip.height,
            focal_px=float(np.load(workspace.work("head_pose.npz"))["focal"]),
            num_frames=clip.num_frames,
            head_poses=np.load(workspace.head_poses, allow_pickle=False),
            splits=splits,
            landmark_scheme=frames.layout.name,
            feature_identities=feature_identities(workspace.settings),
            fps=clip.fps,
        )
        parts = list(splits.values())
        return {
            "train": parts.count("train"),
            "test": parts.count("test"),
            "left_out": clip.num_frames - len(parts),
        }


def split_frames(indices: list[int], num_frames: int, held_out: float) -> dict[int, Split]:
    """Give the start of the clip to training and its end to the held-out part.

    The border is a matter of time, not of usable frames: the first floor(num_frames (1 - held_out)) frames train. So
    two ways of tracking the same clip hold out the same seconds.

    Raises:
        ValueError: When no usable frame is left for training.
    """
    if not 0 <= held_out < 1:
        raise ValueError(f"The held-out share must be at least 0 and below 1, found {held_out}. The default is 1/11.")
    border = math.floor(num_frames * (1 - held_out) + 1e-9)
    splits: dict[int, Split] = {index: "train" if index < border else "test" for index in indices}
    if "train" not in splits.values():
        raise ValueError(
            f"None of the first {border} frames shows a face, so there is nothing to train on. "
            "Choose another part of the video with --start and --max-seconds."
        )
    return splits


def feature_identities(settings: ProcessSettings) -> dict[str, str]:
    """Name what will stand in `features/`, and which extractor makes it."""
    return {name: feature_extractor(name).identity() for name in settings.audio_features}
