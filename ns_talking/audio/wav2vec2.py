"""wav2vec 2.0 Base, fine-tuned on speech recognition: a third of HuBERT Large's size."""

from __future__ import annotations

from dataclasses import dataclass, field

from ns_talking.audio.pretrained import PretrainedModel
from ns_talking.audio.waveform import WaveformFeatures

MODEL = PretrainedModel(
    repository="facebook/wav2vec2-base-960h",
    revision="22aad52d435eb6dbaf354bdad9b0da84ce7d6156",
    weights="model.safetensors",
    sha256="8aa76ab2243c81747a1f832954586bc566090c83a0ac167df6f31f0fa917d74a",
    num_bytes=377_607_901,
    architecture="Wav2Vec2Model",
    channels=768,
)


@dataclass(frozen=True)
class Wav2Vec2Features(WaveformFeatures):
    """The last hidden layer of wav2vec 2.0 Base, 768 numbers every 20 ms.

    Source:
        Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations", 2020.
    """

    model: PretrainedModel = field(default_factory=lambda: MODEL)
    name = "wav2vec2"
