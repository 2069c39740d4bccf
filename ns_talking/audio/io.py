"""Sound as mono samples: any file in, wav out."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ns_talking.utils.files import atomic_path
from ns_talking.utils.media import stream_samples

SAMPLE_RATE_HZ = 16_000
"""Rate at which features are extracted."""


def read_audio(
    path: Path, sample_rate: int = SAMPLE_RATE_HZ, start_s: float | None = None, duration_s: float | None = None
) -> Float[np.ndarray, " samples"]:
    """Read the sound of any sound or video file as mono samples.

    Args:
        path: Any file that FFmpeg's libraries read, with any sample rate and number of channels.
        sample_rate: Rate to resample to in Hz.
        start_s: Instant of the first sample: on the clock of the timestamps in a file with video, where a stream of
            sound that starts later is preceded by silence; after the first sample in a file without video. None
            takes the start of the file.
        duration_s: Length at most; None reads to the end.

    Returns:
        Samples in about [-1, 1]; none when the sound ends before `start_s`.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it holds no sound, or cannot be decoded.
    """
    blocks = list(stream_audio(path, sample_rate, start_s=start_s, duration_s=duration_s))
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)


def stream_audio(
    path: Path,
    sample_rate: int = SAMPLE_RATE_HZ,
    block_s: float = 10.0,
    start_s: float | None = None,
    duration_s: float | None = None,
) -> Iterator[Float[np.ndarray, " samples"]]:
    """Read what `read_audio` reads block by block, at constant memory.

    Args:
        path: Any file that FFmpeg's libraries read.
        sample_rate: Rate to resample to in Hz.
        block_s: Length of each block except the last.
        start_s: As in `read_audio`.
        duration_s: Length at most; None reads to the end.

    Yields:
        Samples in about [-1, 1].
    """
    for block in stream_samples(path, sample_rate, 1, start_s, duration_s, block_s):
        yield block[0]


def audio_duration_s(path: Path) -> float:
    """Measure how long the sound of a file lasts in seconds, by decoding it: headers are often wrong."""
    return sum(len(block) for block in stream_audio(path)) / SAMPLE_RATE_HZ


def write_wav(path: Path, samples: Float[np.ndarray, " samples"], sample_rate: int = SAMPLE_RATE_HZ) -> None:
    """Write mono 16-bit PCM atomically; samples beyond [-1, 1] are clipped.

    Raises:
        ValueError: When the samples are not one channel of finite numbers.
    """
    write_wav_blocks(path, [samples], sample_rate)


def write_wav_blocks(
    path: Path, blocks: Iterable[Float[np.ndarray, " samples"]], sample_rate: int = SAMPLE_RATE_HZ
) -> None:
    """Write blocks one behind the other, as `write_wav` does, at constant memory.

    Raises:
        ValueError: When a block is not one channel of finite numbers.
    """
    with atomic_path(Path(path)) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        for block in blocks:
            samples = np.asarray(block)
            if samples.ndim != 1 or not np.isfinite(samples).all():
                raise ValueError(
                    f"A wav file is written from one channel of finite samples, found shape {samples.shape}"
                    f"{'' if np.isfinite(samples).all() else ' with NaN or infinity'}. Average the channels first."
                )
            integers = np.clip(np.round(samples.astype(np.float64) * 32768), -32768, 32767).astype("<i2")
            file.writeframesraw(integers.tobytes())
