"""Tables of features with a description beside them: `hubert.npy` and `hubert.json`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ns_talking.audio.base import AudioFeatures
from ns_talking.utils.arrays import read_array
from ns_talking.utils.files import write_json


def describe(path: Path, features: AudioFeatures) -> None:
    """Write what has to be known of a table besides its values: extractor, rate, window, length, silence.

    Args:
        path: The table (.npy); the description gets its name with .json.
        features: What it holds.
    """
    write_json(
        path.with_suffix(".json"),
        {
            "name": features.name,
            "identity": features.identity,
            "rate_hz": features.rate_hz,
            "window": features.window,
            "length_s": features.duration_s,
            "silence": [float(value) for value in features.silence],
        },
    )


def read_described(path: Path) -> AudioFeatures:
    """Read a table with its description, as a memory map.

    Raises:
        FileNotFoundError: When the description is missing.
        ValueError: When the two do not fit together.
    """
    values = read_array(path, mapped=True)
    description = path.with_suffix(".json")
    again = f"Extract the features again: run `ns-talking process` on the video with --audio-features {path.stem}."
    if not description.is_file():
        raise FileNotFoundError(f"{path} lacks the file {description.name} that says what it holds. {again}")
    facts = json.loads(description.read_text(encoding="utf-8"))
    silence = np.array(facts["silence"], dtype=np.float32)
    if values.ndim != 2 or values.shape[1] != len(silence):
        raise ValueError(
            f"{path} holds a table of shape {values.shape}, {description.name} describes {len(silence)} "
            f"channels. {again}"
        )
    return AudioFeatures(
        facts["name"], values, facts["rate_hz"], facts["window"], silence, facts["identity"], facts["length_s"]
    )
