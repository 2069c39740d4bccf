"""Features that came cut into one window per video frame, as the AD-NeRF family stores them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ns_talking.utils.arrays import read_array

WINDOWED_FILES: dict[str, str] = {
    "deepspeech": "aud_ds.npy",
    "esperanto": "aud_eo.npy",
    "hubert": "aud_hu.npy",
    "ave": "aud_ave.npy",
    "ad-nerf": "aud.npy",
}
"""Name of the features -> usual file name. Arrays are [frames, window, channels]: DeepSpeech logits [., 16, 29],
wav2vec-Esperanto logits [., 16, 44], HuBERT hidden states [., 2, 1024]; `aud.npy` is AD-NeRF's and holds DeepSpeech
logits. SyncTalk's audio-visual encoder gives one row of 512 numbers per frame, [., 512] or [., 1, 512]: its loader
computes them and stores none, so `aud_ave.npy` is the name under which to save them."""
_STEPS_PER_FRAME = {"deepspeech": 2, "esperanto": 2, "hubert": 2, "ave": 1, "ad-nerf": 2}
"""Steps from the window of one frame to that of the next: all but `ave` have 50 steps per second, cut for 25 frames."""


@dataclass(frozen=True)
class WindowedFeatures:
    """Windows cut beforehand, one per video frame; nothing is known outside of them."""

    name: str
    """Key in `WINDOWED_FILES`."""
    values: Float[np.ndarray, "frames window channels"]
    """May be a memory map."""
    rate_hz: float = 25.0
    """Windows per second, the frame rate of the video they were cut for."""

    @property
    def identity(self) -> str:
        """Which features they are; the extractor's weights are not recorded in such files."""
        return f"windows-{self.name} window={self.window} channels={self.channels}"

    @property
    def channels(self) -> int:
        """Numbers per step."""
        return self.values.shape[2]

    @property
    def window(self) -> int:
        """Steps per window."""
        return self.values.shape[1]

    @property
    def duration_s(self) -> float:
        """Length of the sound in seconds."""
        return len(self.values) / self.rate_hz

    def steps_per_frame(self, fps: float) -> int | None:
        """Count the steps from the window of one frame to that of the next; None where that is not known."""
        return _STEPS_PER_FRAME.get(self.name) if fps == self.rate_hz else None

    def windows(self, centres_s: Float[np.ndarray, " frames"]) -> Float[np.ndarray, "frames channels window"]:
        """Give the window of the frame at each instant; outside the clip it is zero, as its authors padded it.

        Args:
            centres_s: Instants in seconds.
        """
        index = np.floor(np.asarray(centres_s, dtype=np.float64) * self.rate_hz + 0.5).astype(np.int64)
        inside = (index >= 0) & (index < len(self.values))
        windows = np.zeros((len(index), self.channels, self.window), dtype=np.float32)
        windows[inside] = np.asarray(self.values[index[inside]], dtype=np.float32).transpose(0, 2, 1)
        return windows


def read_windowed(path: Path, name: str | None = None, rate_hz: float = 25.0) -> WindowedFeatures:
    """Read a file of windows as a memory map.

    Args:
        path: An .npy file, [frames, window, channels].
        name: Key in `WINDOWED_FILES`; None goes by the file's name.
        rate_hz: Windows per second.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When its name says nothing and none is given, or the array has another shape.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Extract the audio features of the dataset first.")
    if name is None:
        names = [known for known, file in WINDOWED_FILES.items() if file == path.name]
        if not names:
            raise ValueError(
                f"{path.name} does not say which features it holds. Rename it to one of "
                f"{', '.join(WINDOWED_FILES.values())}, or name them."
            )
        name = names[0]
    try:
        values = read_array(path, mapped=True)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{path} is not an array of audio windows ({error}). Extract the audio features again."
        ) from error
    if values.ndim == 2 and name == "ave":
        values = values[:, None]
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(
            f"{path} should hold audio windows [frames, window, channels], found shape {values.shape}. "
            "Extract the audio features again with the tool that made the dataset."
        )
    return WindowedFeatures(name, values, rate_hz)
