"""Opening sound and video files, and decoding sound on one clock at constant memory.

The clock of a file with video is that of its timestamps, so that sound and pictures stay together even when their
streams start at different times. The clock of a file without video starts at its first sample.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition, Stream
from av.video.stream import VideoStream
from jaxtyping import Float

GAP_TOLERANCE_S = 0.03
"""Timestamps may be this far from the count of samples before samples are inserted or dropped; containers round
timestamps, some to whole milliseconds."""
MAX_GAP_S = 3600.0
"""A longer jump of the timestamps is damage, not a pause."""


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a sound or video file for reading.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When the file is empty or no sound or video file.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {what}. Name a sound or video file.")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes). Record or copy it again.")
    try:
        container = av.open(str(path))
    except (FFmpegError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} cannot be read as sound or video ({_reason(error)}). "
            "Use a common format, for example wav, mp3, m4a or mp4, and check that the file is complete."
        ) from error
    try:
        yield container
    finally:
        container.close()


def video_stream(container: InputContainer) -> VideoStream | None:
    """Find the moving pictures of a file; the cover of a song is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def sound_stream(container: InputContainer) -> AudioStream | None:
    """Find the sound of a file, the best stream where there are several."""
    stream = container.streams.best("audio")
    # A damaged header leaves a stream that nothing can decode, and that PyAV knows no rate of.
    return stream if isinstance(stream, AudioStream) and getattr(stream, "rate", None) else None


def stream_start_s(stream: Stream) -> float:
    """Read when a stream starts on the clock of its file's timestamps, in seconds."""
    if stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base)


def stream_samples(
    path: Path,
    sample_rate: int | None = None,
    num_channels: int = 1,
    start_s: float | None = None,
    duration_s: float | None = None,
    block_s: float = 10.0,
) -> Iterator[Float[np.ndarray, "channels samples"]]:
    """Decode the sound of a file block by block, so that an hour costs no more memory than a minute.

    Silence fills the time before a late stream and gaps between timestamps; overlapping samples are dropped.

    Args:
        path: Any file that FFmpeg's libraries read.
        sample_rate: Rate to resample to in Hz; None keeps the source's.
        num_channels: 1 averages left and right (surround sound is first mixed to stereo), 2 gives stereo.
        start_s: Instant of the first sample on the file's clock; None takes the start of the file's first stream.
        duration_s: Length at most; None reads to the end.
        block_s: Length of each block except the last.

    Yields:
        Samples in about [-1, 1].

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it holds no sound, or cannot be decoded.
    """
    if num_channels not in (1, 2):
        raise ValueError(f"Sound can be read with 1 or 2 channels, not {num_channels}.")
    with open_media(path) as container:
        stream = sound_stream(container)
        if stream is None:
            raise ValueError(f"{path} has no sound track. Name a file with sound.")
        source_rate = _believed(stream.rate, path)
        rate = sample_rate or source_rate
        timed = _timed_samples(container, stream, path, num_channels, start_s)
        limit = None if duration_s is None else round(duration_s * rate)
        yield from _cut(resampled(timed, source_rate, rate), max(1, round(block_s * rate)), limit)


def file_start_s(container: InputContainer) -> float:
    """Find where a file starts on its own clock: with its first stream, or at 0 without video."""
    video, sound = video_stream(container), sound_stream(container)
    if video is None:
        return 0.0
    return min(stream_start_s(stream) for stream in (video, sound) if stream is not None)


def source_format(path: Path) -> tuple[int, int]:
    """Read the sample rate in Hz and the number of channels of a file's sound.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it holds no sound.
    """
    with open_media(path) as container:
        stream = sound_stream(container)
        if stream is None:
            raise ValueError(f"{path} has no sound track. Name a file with sound.")
        return _believed(stream.rate, path), stream.channels


def _believed(rate: int, path: Path) -> int:
    """Refuse a rate that no sound has; memory is asked for by it."""
    if not 1_000 <= rate <= 1_000_000:
        raise ValueError(f"{path} says that its sound has {rate} samples a second, so it is damaged. Export it again.")
    return rate


def _timed_samples(
    container: InputContainer, stream: AudioStream, path: Path, num_channels: int, start_s: float | None
) -> Iterator[Float[np.ndarray, "channels samples"]]:
    """Samples at the source's rate, the first of them at `start_s`, without gaps or overlaps."""
    rate = stream.rate
    video = video_stream(container)
    zero_s = 0.0 if video is not None else None
    start_s = file_start_s(container) if start_s is None else start_s
    position = None
    """Samples since `start_s` at which the next one belongs; negative before it."""
    for time_s, samples in _decoded(container, stream, path, num_channels):
        if position is None:
            if zero_s is None:
                zero_s = time_s or 0.0
            first_s = zero_s if time_s is None else time_s
            position = round((first_s - zero_s - start_s) * rate)
            if position > 0:
                yield from _silence(position, num_channels, rate, path)
        elif time_s is not None and zero_s is not None:
            stated = round((time_s - zero_s - start_s) * rate)
            gap = stated - position
            if gap > GAP_TOLERANCE_S * rate:
                yield from _silence(stated - max(position, 0), num_channels, rate, path)
                position = stated
            elif gap < -GAP_TOLERANCE_S * rate:
                overlap = min(-gap, samples.shape[1])
                samples = samples[:, overlap:]
        end = position + samples.shape[1]
        if end > 0 and samples.shape[1]:
            yield samples[:, max(0, -position) :]
        position = end
    if position is None:
        raise ValueError(f"{path} holds a sound track without a single sample. Record or export it again.")


def _decoded(
    container: InputContainer, stream: AudioStream, path: Path, num_channels: int
) -> Iterator[tuple[float | None, Float[np.ndarray, "channels samples"]]]:
    """Frames as they are stored: instant on the file's clock, if stated, and samples."""
    converter, converts = None, None
    num_damaged = 0
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except InvalidDataError:
                num_damaged += 1
                continue
            for frame in frames:
                wanted = (frame.format.name, frame.layout.name, frame.sample_rate)
                if converter is None or wanted != converts:
                    layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
                    converter = av.AudioResampler(format="fltp", layout=layout, rate=stream.rate)
                    converts = wanted
                time_s = frame.time
                frame.pts = None
                for converted in converter.resample(frame):
                    yield time_s, _with_channels(converted.to_ndarray(), num_channels)
                    time_s = None
    except FFmpegError as error:
        raise ValueError(
            f"The sound of {path} cannot be decoded ({_reason(error)}). Export it again, for example as wav."
        ) from error
    if num_damaged:
        warnings.warn(f"{path}: {num_damaged} damaged pieces of sound were left out.", stacklevel=2)


def _with_channels(
    samples: Float[np.ndarray, "source samples"], num_channels: int
) -> Float[np.ndarray, "channels samples"]:
    if samples.shape[0] == num_channels:
        return samples
    if num_channels == 1:
        return samples.mean(axis=0, keepdims=True)
    return np.repeat(samples, num_channels, axis=0)


def _silence(
    num_samples: int, num_channels: int, rate: int, path: Path
) -> Iterator[Float[np.ndarray, "channels samples"]]:
    if num_samples > MAX_GAP_S * rate:
        raise ValueError(
            f"The timestamps of the sound of {path} jump by {num_samples / rate:.0f} s. "
            "Export the file again, for example as wav."
        )
    for start in range(0, num_samples, rate):
        yield np.zeros((num_channels, min(rate, num_samples - start)), dtype=np.float32)


def resampled(
    blocks: Iterator[Float[np.ndarray, "channels samples"]], source_rate: int, rate: int
) -> Iterator[Float[np.ndarray, "channels samples"]]:
    """Change the sample rate of mono or stereo samples, block by block, without delay.

    Args:
        blocks: Samples in blocks of any lengths.
        source_rate: Their rate in Hz.
        rate: The rate wanted in Hz.

    Yields:
        The resampled sound, in blocks of other lengths.
    """
    if source_rate == rate:
        yield from blocks
        return
    resampler = None
    for block in blocks:
        layout = "mono" if len(block) == 1 else "stereo"
        resampler = resampler or av.AudioResampler(format="fltp", layout=layout, rate=rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block, np.float32), "fltp", layout)
        frame.sample_rate = source_rate
        for converted in resampler.resample(frame):
            yield converted.to_ndarray()
    if resampler is not None:
        for converted in resampler.resample(None):
            yield converted.to_ndarray()


def _cut(
    blocks: Iterator[Float[np.ndarray, "channels samples"]], size: int, limit: int | None
) -> Iterator[Float[np.ndarray, "channels samples"]]:
    """Blocks of one size, `limit` samples altogether."""
    waiting: list[np.ndarray] = []
    num_waiting = 0
    num_left = limit
    for block in blocks:
        if num_left is not None:
            block = block[:, :num_left]
            num_left -= block.shape[1]
        waiting.append(block)
        num_waiting += block.shape[1]
        while num_waiting >= size:
            joined = np.concatenate(waiting, axis=1)
            yield joined[:, :size]
            waiting = [joined[:, size:]]
            num_waiting -= size
        if num_left == 0:
            break
    if num_waiting:
        yield np.concatenate(waiting, axis=1)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
