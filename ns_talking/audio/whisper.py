"""The encoder of Whisper: speech features learned from recordings in many languages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from ns_talking.audio.chunks import cut_samples
from ns_talking.audio.io import SAMPLE_RATE_HZ
from ns_talking.audio.pretrained import PretrainedModel
from ns_talking.audio.speech_model import STRIDE, Blocks, SpeechModelFeatures
from ns_talking.utils.optional import require

MODEL = PretrainedModel(
    repository="openai/whisper-base",
    revision="e37978b90ca9030d5170a5c07aadb050351a65bb",
    weights="model.safetensors",
    sha256="07cadb9f25677c8d50df603e66a98fbd842cce45047139baeb16e6219a1e807b",
    num_bytes=290_403_936,
    architecture="WhisperModel",
    channels=512,
)


@dataclass(frozen=True)
class WhisperFeatures(SpeechModelFeatures):
    """The encoder's output, 512 numbers every 20 ms.

    The network knows nothing but stretches of 30 s, each with its own loudest level, and tells places in them apart:
    here a chunk is such a stretch, shorter sound is followed by silence, and the same sound gives slightly different
    features at another place of its chunk.

    Source:
        Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022.
    """

    model: PretrainedModel = field(default_factory=lambda: MODEL)
    chunk_s: float = 30.0
    name = "whisper"

    def _embed(self, network: Any, blocks: Blocks, spans: list[range]) -> Iterator[Float[np.ndarray, "steps channels"]]:
        encoder, config = network.get_encoder(), network.config
        most = config.max_source_positions
        if config.d_model != self.channels or spans[0].stop > most:
            raise ValueError(
                f"{self.model.repository} has {config.d_model} channels and reads {most} steps at a time, expected "
                f"{self.channels} and at least {spans[0].stop}. Use the published model."
            )
        transformers = require("transformers", extra=None, purpose="Whisper's features")
        to_mel = transformers.WhisperFeatureExtractor(
            feature_size=config.num_mel_bins, chunk_length=most * STRIDE // SAMPLE_RATE_HZ
        )
        runs = (range(STRIDE * span.start, STRIDE * span.stop) for span in spans)
        for span, samples in zip(spans, cut_samples(blocks(), runs), strict=True):
            mel = to_mel(samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").input_features
            hidden = encoder(mel.to(network.device, torch.float32)).last_hidden_state
            yield hidden[0, : len(span)].cpu().numpy()
