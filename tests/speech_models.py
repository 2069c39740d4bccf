"""Small speech models with random weights on disk, in the files and under the names that the published ones have."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ns_talking.audio import hubert, wav2vec2, whisper
from ns_talking.audio.pretrained import PretrainedModel

CHANNELS = 24
MODULES = {"hubert": hubert, "wav2vec2": wav2vec2, "whisper": whisper}


def install(name: str, folder: Path, patch: pytest.MonkeyPatch, seed: int = 0) -> None:
    """Write a small model of the architecture of the extractor `name` and pin the extractor to it.

    Args:
        name: Key of `FEATURES`; nothing is written for one without a model.
        folder: Becomes NS_TALKING_MODELS.
        patch: Takes everything back.
        seed: Of the weights.
    """
    if name not in MODULES:
        return
    module = MODULES[name]
    pin: PretrainedModel = module.MODEL
    network = small_network(name, seed)
    place = folder / pin.repository.split("/")[-1]
    place.mkdir(parents=True, exist_ok=True)
    if pin.weights.endswith(".safetensors"):
        network.save_pretrained(place)
    else:
        network.config.architectures = [type(network).__name__]
        network.config.save_pretrained(place)
        # The published file was written when PyTorch kept a normalised weight as `weight_g` and `weight_v`.
        old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
        state = network.state_dict()
        for new_name, old_name in old.items():
            state = {key.replace(new_name, old_name): value for key, value in state.items()}
        torch.save(state, place / pin.weights)
    content = (place / pin.weights).read_bytes()
    small = replace(
        pin, sha256=hashlib.sha256(content).hexdigest(), num_bytes=len(content), channels=CHANNELS, url="http://nowhere"
    )
    patch.setattr(module, "MODEL", small)
    patch.setenv("NS_TALKING_MODELS", str(folder))


def small_network(name: str, seed: int = 0) -> Any:  # Any: a class of transformers.
    """Build the network that the published weights of an extractor belong to, small and random."""
    import transformers

    torch.manual_seed(seed)
    if name == "whisper":
        config = transformers.WhisperConfig(
            d_model=CHANNELS,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            vocab_size=60,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
            num_mel_bins=80,
        )
        return transformers.WhisperForConditionalGeneration(config)
    # Norms, biases and order of layers are those of the published configurations.
    large = name == "hubert"
    family = "Hubert" if large else "Wav2Vec2"
    config = getattr(transformers, f"{family}Config")(
        hidden_size=CHANNELS,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16,) * 7,
        feat_extract_norm="layer" if large else "group",
        conv_bias=large,
        do_stable_layer_norm=large,
        num_conv_pos_embedding_groups=4,
        vocab_size=32,
    )
    return getattr(transformers, f"{family}ForCTC")(config)
