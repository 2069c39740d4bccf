"""Reading and extracting audio features by name: from tables of ours, from peers' windows, from any sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ns_talking.audio import FEATURES
from ns_talking.audio.base import AudioFeatures, FeatureTable
from ns_talking.audio.extractors import AUTO as AUTO
from ns_talking.audio.extractors import PREFERRED, feature_extractor
from ns_talking.audio.windowed import WINDOWED_FILES, read_windowed
from ns_talking.utils.arrays import read_array


def preferred_features(files: Mapping[str, Path]) -> str:
    """Choose the features of a training that leaves them open: `hubert` where a dataset holds its table, else `mel`.

    Windows that another tool cut are never chosen: nothing here could make them of other sound.

    Args:
        files: Files of a dataset by the name of the features.
    """
    tables = {name for name, path in files.items() if path.name not in WINDOWED_FILES.values()}
    return next((name for name in PREFERRED if name in tables), PREFERRED[-1])


def read_features(name: str, path: Path) -> FeatureTable:
    """Read the features of a dataset, as a memory map.

    Args:
        name: Key of `FEATURES`, or of `WINDOWED_FILES` for what peers' tools wrote.
        path: The file.
    """
    if name in FEATURES and path.name not in WINDOWED_FILES.values() and not _holds_windows(path):
        return feature_extractor(name).load(path)
    return read_windowed(path, name)


def _holds_windows(path: Path) -> bool:
    """Tell by its axes whether a file holds windows that another tool cut."""
    return path.is_file() and read_array(path, mapped=True).ndim == 3


def extract_features(
    name: str, sound: Path, output: Path | None = None, advance: Callable[[float], None] | None = None
) -> FeatureTable:
    """Extract features from a sound or video file.

    Args:
        name: Key of `FEATURES`.
        sound: Any file with sound.
        output: Where to put the table, so that memory stays constant; None keeps it in memory.
        advance: Is told the seconds of sound that were done.

    Raises:
        ValueError: When nothing here extracts such features; the message says what to do.
    """
    if name not in FEATURES and name in WINDOWED_FILES:
        raise ValueError(
            f"The portrait was trained on {name!r} features from another tool's file, and ns-talking has no extractor "
            f"for them. Hand over that tool's file for this sound with --features FILE, or train it on features that "
            f"ns-talking extracts: {', '.join(FEATURES)}."
        )
    return feature_extractor(name).extract(sound, output, advance)


def voice_of(sound: Path, num_frames: int, fps: float) -> Float[np.ndarray, " frames"]:
    """Hear in which frames of a sound or video file somebody speaks: 1 in speech, 0 in pauses.

    Args:
        sound: Any file with sound.
        num_frames: Frames of the video.
        fps: Frames per second.
    """
    from ns_talking.audio.voice_activity import voice_activity  # Every ns-* command imports this module.

    return voice_activity(sound, num_frames, fps)


def feature_values(features: FeatureTable) -> Float[np.ndarray, "steps channels"] | None:
    """Give the whole table of features, perhaps a memory map; None for windows that were cut beforehand."""
    return features.values if isinstance(features, AudioFeatures) else None
