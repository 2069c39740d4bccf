"""The driving track of a dataset's own clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ns_talking.data.aligned_features import AlignedFeatures
from ns_talking.data.format import Portrait
from ns_talking.driving.features import AUTO, preferred_features, read_features
from ns_talking.driving.track import DrivingTrack
from ns_talking.utils.arrays import read_array

_ROWS_AT_ONCE = 10_000


def clip_track(portrait: Portrait, features: str) -> DrivingTrack:
    """Let the clip's own sound, blinks and head poses drive the portrait.

    Args:
        portrait: The dataset.
        features: Name of the audio features that the method wants; `auto` takes the best that the dataset holds.

    Raises:
        ValueError: When the dataset lacks them, naming those it has, or when they hold what is no number.
    """
    if features == AUTO:
        features = preferred_features(portrait.feature_files)
    if features not in portrait.feature_files:
        found = ", ".join(portrait.feature_files) or "none"
        raise ValueError(
            f"The dataset {portrait.folder} has no {features!r} audio features, it has: {found}. Extract them with "
            f"`ns-talking process VIDEO --output {portrait.folder} --audio-features {features}`, or train on others: "
            "--pipeline.model.audio-features NAME"
        )
    table = read_features(features, portrait.feature_files[features])
    _check_numbers(features, portrait.feature_files[features])
    if portrait.audio_frames is not None:
        table = AlignedFeatures(table, portrait.audio_frames, portrait.fps)
    return DrivingTrack(table, portrait.blink, portrait.head_poses, portrait.fps)


def _check_numbers(features: str, path: Path) -> None:
    if path.suffix != ".npy":
        return
    values = read_array(path, mapped=True)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        if not np.isfinite(values[start : start + _ROWS_AT_ONCE]).all():
            raise ValueError(
                f"The {features!r} audio features {path} hold NaN or infinity, which would make every loss NaN. "
                "Extract them again: ns-talking process with --overwrite"
            )
