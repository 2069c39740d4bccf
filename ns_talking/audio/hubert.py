"""HuBERT Large, fine-tuned on speech recognition: the features that peers found best for speech in any language."""

from __future__ import annotations

from dataclasses import dataclass, field

from ns_talking.audio.pretrained import PretrainedModel
from ns_talking.audio.waveform import WaveformFeatures

MODEL = PretrainedModel(
    repository="facebook/hubert-large-ls960-ft",
    revision="ece5fabbf034c1073acae96d5401b25be96709d8",
    weights="pytorch_model.bin",
    sha256="9cf43abec3f0410ad6854afa4d376c69ccb364b48ddddfd25c4c5aa16398eab0",
    num_bytes=None,
    architecture="HubertModel",
    channels=1024,
)


@dataclass(frozen=True)
class HubertFeatures(WaveformFeatures):
    """The last hidden layer of HuBERT Large, 1024 numbers every 20 ms.

    Source:
        Hsu et al., "HuBERT: Self-Supervised Speech Representation Learning by Masked Prediction of Hidden Units",
        2021. The talking portraits of the ER-NeRF family read the same layer.
    """

    model: PretrainedModel = field(default_factory=lambda: MODEL)
    name = "hubert"
