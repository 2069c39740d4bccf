"""Log-mel energies: audio features without weights, which need nothing but the sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.fft
from jaxtyping import Float

from ns_talking.audio.base import AudioFeatures, TableWriter
from ns_talking.audio.io import stream_audio
from ns_talking.utils.arrays import read_array
from ns_talking.utils.files import atomic_path

_VERSION = 1
"""Raised whenever the same settings would give other values."""


@dataclass(frozen=True)
class MelFeatures:
    """Decimal logarithm of the power in mel bands, 100 times per second.

    Step i weighs the samples around the instant i / rate_hz with a Hann window, so features neither lead nor lag.
    A full-scale sine gives about 0 in its band; the floor is -8 (-80 dB), which is also the value of silence.
    """

    sample_rate: int = 16_000
    hop: int = 160
    """Samples from one step to the next."""
    span: int = 512
    """Samples under the Hann window."""
    fft: int = 1024
    """Length of the zero-padded transform: with 512 the lowest bands would fall between two bins and stay empty."""
    channels: int = 80
    lowest_hz: float = 50.0
    floor: float = -8.0
    """Smallest value, log10 of power."""
    window: int = 16
    """Steps per window: 160 ms."""
    block_s: float = 10.0
    """Length of sound in memory at a time; has no influence on the values."""

    name = "mel"

    @property
    def rate_hz(self) -> float:
        """Steps per second."""
        return self.sample_rate / self.hop

    @property
    def silence(self) -> Float[np.ndarray, " channels"]:
        """The step of digital silence."""
        return np.full(self.channels, self.floor, dtype=np.float32)

    def identity(self) -> str:
        """Name everything that the values depend on."""
        return (
            f"mel-v{_VERSION} rate={self.sample_rate} hop={self.hop} span={self.span} fft={self.fft} "
            f"bands={self.channels} lowest={self.lowest_hz:g} floor={self.floor:g} window={self.window}"
        )

    def extract(
        self, path: Path, output: Path | None = None, advance: Callable[[float], None] | None = None
    ) -> AudioFeatures:
        """Extract the features of a sound or video file, streaming.

        Args:
            path: Any file with sound.
            output: Where to put the table (.npy); the values are then a memory map of it and memory stays constant.
            advance: Is told the seconds of sound that were done.
        """
        blocks = _counted(stream_audio(path, self.sample_rate, self.block_s), self.sample_rate, advance)
        if output is None:
            return self.extract_blocks(blocks)
        with atomic_path(output) as temporary:
            length_s = self.extract_blocks(blocks, temporary).length_s
        return self._features(np.load(output, mmap_mode="r"), length_s)

    def extract_blocks(
        self, blocks: Iterator[Float[np.ndarray, " samples"]], output: Path | None = None
    ) -> AudioFeatures:
        """Extract the features of samples that come in blocks of any lengths.

        Args:
            blocks: Mono samples at `sample_rate`.
            output: As in `extract`; not atomic.
        """
        table = TableWriter(self.channels, output)
        half = self.span // 2
        pending = np.zeros(half, dtype=np.float32)
        """Samples that later steps still need; silence precedes the sound."""
        num_samples = 0
        try:
            for block in blocks:
                num_samples += len(block)
                pending = np.concatenate([pending, block.astype(np.float32)])
                num_steps = max(0, (len(pending) - self.span) // self.hop + 1)
                table.append(self._steps(pending, num_steps))
                pending = pending[num_steps * self.hop :]
            num_left = (len(pending) - half) // self.hop + 1
            pending = np.concatenate([pending, np.zeros(self.span, dtype=np.float32)])
            table.append(self._steps(pending, num_left))
        except BaseException:
            table.abort()
            raise
        return self._features(table.close(), num_samples / self.sample_rate)

    def load(self, path: Path) -> AudioFeatures:
        """Read a table that `extract` wrote, as a memory map.

        Raises:
            ValueError: When the table has another number of channels.
        """
        values = read_array(path, mapped=True)
        if values.ndim != 2 or values.shape[1] != self.channels:
            raise ValueError(
                f"{path} holds a table of shape {values.shape}, mel features have {self.channels} channels. "
                "Extract them again: run `ns-talking process` on the video."
            )
        return self._features(values, None)

    def _features(self, values: Float[np.ndarray, "steps channels"], length_s: float | None) -> AudioFeatures:
        return AudioFeatures(self.name, values, self.rate_hz, self.window, self.silence, self.identity(), length_s)

    def _steps(self, samples: Float[np.ndarray, " samples"], num_steps: int) -> Float[np.ndarray, "steps channels"]:
        if num_steps == 0:
            return np.zeros((0, self.channels), dtype=np.float32)
        spans = np.lib.stride_tricks.sliding_window_view(samples, self.span)[:: self.hop][:num_steps]
        power = np.abs(np.asarray(scipy.fft.rfft(spans * self._hann, n=self.fft, axis=1))) ** 2
        return np.maximum(np.log10(power @ self._bands + 1e-20), self.floor).astype(np.float32)

    @cached_property
    def _hann(self) -> Float[np.ndarray, " span"]:
        """Scaled such that a full-scale sine has a peak power of 1."""
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.span) / self.span)
        return (hann * 2 / hann.sum()).astype(np.float32)

    @cached_property
    def _bands(self) -> Float[np.ndarray, "bins channels"]:
        """Triangles that are equally wide on the mel scale, 2595 log10(1 + f / 700) of O'Shaughnessy (1987)."""
        lowest, highest = 2595 * np.log10(1 + np.array([self.lowest_hz, self.sample_rate / 2]) / 700)
        edges = 700 * (10 ** (np.linspace(lowest, highest, self.channels + 2) / 2595) - 1)
        frequencies = np.arange(self.fft // 2 + 1)[:, None] * self.sample_rate / self.fft
        low, peak, high = edges[:-2], edges[1:-1], edges[2:]
        rising, falling = (frequencies - low) / (peak - low), (high - frequencies) / (high - peak)
        return np.clip(np.minimum(rising, falling), 0, 1).astype(np.float32)


def _counted(
    blocks: Iterator[Float[np.ndarray, " samples"]], sample_rate: int, advance: Callable[[float], None] | None
) -> Iterator[Float[np.ndarray, " samples"]]:
    """Report each block when the next one is asked for."""
    for block in blocks:
        yield block
        if advance is not None:
            advance(len(block) / sample_rate)
