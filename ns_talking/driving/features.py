"""Reading and extracting audio features by name: from tables of ours, from peers' windows, from any sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from ns_talking.audio import FEATURES
from ns_talking.audio.base import AudioFeatures, FeatureExtractor, FeatureTable
from ns_talking.audio.windowed import WINDOWED_FILES, read_windowed
from ns_talking.utils.registry import lookup


def read_features(name: str, path: Path) -> FeatureTable:
    """Read the features of a dataset, as a memory map.

    Args:
        name: Key of `FEATURES`, or of `WINDOWED_FILES` for what peers' tools wrote.
        path: The file.
    """
    if name in FEATURES and path.name not in WINDOWED_FILES.values():
        extractor: FeatureExtractor = lookup(FEATURES, name, "audio features")()
        return extractor.load(path)
    return read_windowed(path, name)


def extract_features(name: str, sound: Path, output: Path | None = None) -> FeatureTable:
    """Extract features from a sound or video file.

    Args:
        name: Key of `FEATURES`.
        sound: Any file with sound.
        output: Where to put the table, so that memory stays constant; None keeps it in memory.

    Raises:
        ValueError: When nothing here extracts such features; the message says what to do.
    """
    if name not in FEATURES and name in WINDOWED_FILES:
        raise ValueError(
            f"The portrait was trained on {name!r} features from another tool's file, and ns-talking has no extractor "
            f"for them. Train it on features that it can extract: {', '.join(FEATURES)}."
        )
    extractor: FeatureExtractor = lookup(FEATURES, name, "audio features")()
    return extractor.extract(sound, output)


def steps_per_frame(features: FeatureTable, fps: float) -> int | None:
    """Count the feature steps from one video frame to the next; None for windows that were cut beforehand."""
    if not isinstance(features, AudioFeatures):
        return None
    steps = round(features.rate_hz / fps)
    return steps if steps * fps == features.rate_hz else None


def feature_values(features: FeatureTable) -> Float[np.ndarray, "steps channels"] | None:
    """Give the whole table of features, perhaps a memory map; None for windows that were cut beforehand."""
    return features.values if isinstance(features, AudioFeatures) else None
