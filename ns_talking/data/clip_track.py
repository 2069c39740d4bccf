"""The driving track of a dataset's own clip."""

from __future__ import annotations

from ns_talking.data.aligned_features import AlignedFeatures
from ns_talking.data.format import Portrait
from ns_talking.driving.features import AUTO, preferred_features, read_features
from ns_talking.driving.track import DrivingTrack


def clip_track(portrait: Portrait, features: str) -> DrivingTrack:
    """Let the clip's own sound, blinks and head poses drive the portrait.

    Args:
        portrait: The dataset.
        features: Name of the audio features that the method wants; `auto` takes the best that the dataset holds.

    Raises:
        ValueError: When the dataset lacks them, naming those it has.
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
    if portrait.audio_frames is not None:
        table = AlignedFeatures(table, portrait.audio_frames, portrait.fps)
    return DrivingTrack(table, portrait.blink, portrait.head_poses, portrait.fps)
