"""Extractors by name, and which of them to take where nobody chose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ns_talking.audio import FEATURES
from ns_talking.audio.base import FeatureExtractor
from ns_talking.utils.registry import lookup

AUTO = "auto"
"""Leaves the choice of audio features to what is at hand."""
PREFERRED = ("hubert", "mel")
"""Best first. `mel` needs nothing, so it is what remains without a network."""


def feature_extractor(name: str, models: Path | None = None) -> FeatureExtractor:
    """Make an extractor; nothing is loaded before it extracts.

    Args:
        name: Key of `FEATURES`.
        models: Folder with model files, searched before `NS_TALKING_MODELS` and the cache.

    Raises:
        ValueError: When there is no such extractor; the message lists the known ones.
    """
    from ns_talking.audio.speech_model import SpeechModelFeatures  # Every ns-* command imports this module.

    extractor = lookup(FEATURES, name, "audio features")()
    return replace(extractor, models=models) if isinstance(extractor, SpeechModelFeatures) else extractor


def at_hand(names: Iterable[str], models: Path | None = None) -> tuple[str, ...]:
    """Replace `auto` by what can be extracted without a download: `hubert` where its model is installed, and `mel`.

    Args:
        names: Keys of `FEATURES`, or `auto`.
        models: Folder with model files, searched first.
    """
    chosen: list[str] = []
    for name in names:
        chosen += _installed(models) if name == AUTO else [name]
    return tuple(dict.fromkeys(chosen))


def _installed(models: Path | None) -> list[str]:
    from ns_talking.audio.speech_model import SpeechModelFeatures

    extractors = {name: feature_extractor(name, models) for name in PREFERRED}
    return [
        name
        for name, extractor in extractors.items()
        if not isinstance(extractor, SpeechModelFeatures) or extractor.model.installed(models)
    ]
