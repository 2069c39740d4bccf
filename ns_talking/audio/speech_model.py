"""Features that a frozen, published speech network reads off the sound: what HuBERT, wav2vec 2.0 and Whisper share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ns_talking.audio.base import AudioFeatures, TableWriter
from ns_talking.audio.chunks import Chunking
from ns_talking.audio.described import describe, read_described
from ns_talking.audio.io import SAMPLE_RATE_HZ, stream_audio
from ns_talking.audio.pretrained import PretrainedModel
from ns_talking.utils.files import atomic_path
from ns_talking.utils.progress import progress

_VERSION = 1
"""Raised whenever the same model and settings would give other values."""
STRIDE = 320
"""Samples of 16 kHz from one step to the next: all three networks say something 50 times per second."""

Blocks = Callable[[], Iterable[Float[np.ndarray, " samples"]]]
"""Starts a stream of mono 16 kHz samples."""


@dataclass(frozen=True)
class SpeechModelFeatures:
    """The last layer of a published speech network, 50 times per second.

    Step i stands for the instant i / rate_hz: what the network's convolutions see of a step lies evenly around it.
    Attention reaches over a whole chunk, so chunks are part of the definition: sound up to `chunk_s` is read as a
    whole, longer sound in chunks that fade into each other, at constant memory for any length.

    What a table holds is described in a file beside it, so that a dataset can be read, and a portrait trained on it,
    where neither weights nor transformers are installed.
    """

    model: PretrainedModel
    models: Path | None = None
    """Folder with model files, searched before `NS_TALKING_MODELS` and the cache."""
    chunk_s: float = 20.0
    """Length of a chunk in seconds."""
    overlap_s: float = 4.0
    """What neighbouring chunks share, in seconds."""
    edge_s: float = 1.5
    """What is dropped on either side of a cut, in seconds: more than the 1.28 s that the position convolution of
    HuBERT and wav2vec 2.0 reaches."""
    window: int = 2
    """Steps per window: 40 ms, the time from one frame to the next."""

    name = "speech-model"
    rate_hz = SAMPLE_RATE_HZ / STRIDE

    @property
    def channels(self) -> int:
        """Numbers per step."""
        return self.model.channels

    def identity(self) -> str:
        """Name everything that the values depend on. Needs no file."""
        return (
            f"{self.name}-v{_VERSION} {self.model.identity} chunk={self.chunk_s:g} overlap={self.overlap_s:g} "
            f"edge={self.edge_s:g} window={self.window}"
        )

    def extract(
        self, path: Path, output: Path | None = None, advance: Callable[[float], None] | None = None
    ) -> AudioFeatures:
        """Extract the features of a sound or video file, streaming, on a GPU where there is one.

        Args:
            path: Any file with sound.
            output: Where to put the table (.npy); the values are then a memory map of it and memory stays constant.
            advance: Is told the seconds of sound that were done.

        Raises:
            FileNotFoundError: When the sound or the model is missing; the message says where to get the model.
        """

        def blocks() -> Iterator[np.ndarray]:
            return stream_audio(path, SAMPLE_RATE_HZ)

        if output is None:
            return self.extract_blocks(blocks, None, advance)
        with atomic_path(output) as temporary:
            describe(output, self.extract_blocks(blocks, temporary, advance))
        return read_described(output)

    def extract_blocks(
        self, blocks: Blocks, output: Path | None = None, advance: Callable[[float], None] | None = None
    ) -> AudioFeatures:
        """Extract the features of samples that come in blocks of any lengths.

        Args:
            blocks: Starts the stream; it is read more than once.
            output: As in `extract`; not atomic.
            advance: As in `extract`.
        """
        import torch

        length_s = sum(len(block) for block in blocks()) / SAMPLE_RATE_HZ
        network = self.model.load(self.models, progress).to("cuda" if torch.cuda.is_available() else "cpu")
        table = TableWriter(self.channels, output)
        try:
            with torch.inference_mode():
                for part in self._steps(network, blocks, length_s):
                    table.append(part)
                    if advance is not None:
                        advance(len(part) / self.rate_hz)
                quiet = self._steps(network, lambda: [np.zeros(SAMPLE_RATE_HZ, np.float32)], 1.0)
                silence = np.concatenate(list(quiet))[10:-10].mean(axis=0)
        except BaseException:
            table.abort()
            raise
        return AudioFeatures(self.name, table.close(), self.rate_hz, self.window, silence, self.identity(), length_s)

    def load(self, path: Path) -> AudioFeatures:
        """Read a table that `extract` wrote, as a memory map; the model is not needed.

        Raises:
            FileNotFoundError: When the description beside it is missing.
            ValueError: When table and description do not fit together.
        """
        return read_described(path)

    def _steps(self, network: Any, blocks: Blocks, length_s: float) -> Iterator[Float[np.ndarray, "steps channels"]]:
        num_steps = round(length_s * SAMPLE_RATE_HZ) // STRIDE + 1
        chunking = Chunking(*(round(seconds * self.rate_hz) for seconds in (self.chunk_s, self.overlap_s, self.edge_s)))
        return chunking.joined(self._embed(network, blocks, list(chunking.spans(num_steps))))

    @abstractmethod
    def _embed(self, network: Any, blocks: Blocks, spans: list[range]) -> Iterator[Float[np.ndarray, "steps channels"]]:
        """Run the network over each chunk.

        Args:
            network: What `model` loads.
            blocks: Starts the stream.
            spans: Steps of each chunk.
        """
