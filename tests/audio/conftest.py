"""Sound files of every kind, made by the tests themselves."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

CODECS = {
    ".wav": ("wav", "pcm_s16le", "s16"),
    ".flac": ("flac", "flac", "s16"),
    ".mp3": ("mp3", "libmp3lame", "fltp"),
    ".m4a": ("mp4", "aac", "fltp"),
    ".mp4": ("mp4", "aac", "fltp"),
    ".mkv": ("matroska", "pcm_s16le", "s16"),
}


@pytest.fixture
def write_sound(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, samples: np.ndarray, rate: int, start_s: float = 0.0, video_start_s: float | None = None):
        """`samples` are [channels, samples]; a video stream is added when its start is given."""
        path = tmp_path / name
        container_format, codec, sample_format = CODECS[path.suffix]
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
        with av.open(str(path), "w", format=container_format) as container:
            sound = container.add_stream(codec, rate=rate, layout=layout)
            video = None
            if video_start_s is not None:
                video = container.add_stream("libx264", rate=25, width=16, height=16, pix_fmt="yuv420p")
            size = 1024 if codec != "libmp3lame" else 1152
            offset = round(start_s * rate)
            for start in range(0, samples.shape[1], size):
                block = np.ascontiguousarray(samples[:, start : start + size], np.float32)
                frame = av.AudioFrame.from_ndarray(block, "fltp", layout)
                if sample_format == "s16":
                    integers = np.round(block * 32767).astype(np.int16).T.reshape(1, -1)
                    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(integers), "s16", layout)
                frame.sample_rate = rate
                frame.pts = offset + start
                frame.time_base = Fraction(1, rate)
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
            if video is not None and video_start_s is not None:
                for index in range(25):
                    picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
                    picture.pts = round((video_start_s + index / 25) * 12800)
                    picture.time_base = Fraction(1, 12800)
                    container.mux(video.encode(picture))
                container.mux(video.encode(None))
        return path

    return write


@pytest.fixture
def clicks() -> Callable[..., np.ndarray]:
    def make(instants_s: list[float], duration_s: float, rate: int, channels: int = 1) -> np.ndarray:
        """Short bursts of a tone, centred on the instants."""
        time_s = np.arange(round(duration_s * rate)) / rate
        sound = np.zeros_like(time_s)
        for instant in instants_s:
            near = time_s - instant
            sound += 0.8 * np.cos(2 * np.pi * 1000 * near) * np.exp(-((near / 0.002) ** 2))
        return np.repeat(sound[None], channels, axis=0).astype(np.float32)

    return make
