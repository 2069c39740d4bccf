"""Which features are taken where nobody chose."""

from __future__ import annotations

from pathlib import Path

import pytest
from speech_models import install

from ns_talking.audio.extractors import at_hand, feature_extractor


@pytest.fixture(autouse=True)
def _no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NS_TALKING_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NS_TALKING_MODELS", raising=False)


def test_without_a_model_at_hand_auto_is_mel_alone() -> None:
    assert at_hand(["auto"]) == ("mel",)


def test_auto_takes_hubert_as_well_where_its_model_is_installed(tmp_path: Path, monkeypatch) -> None:
    install("hubert", tmp_path / "models", monkeypatch)
    assert at_hand(["auto"]) == ("hubert", "mel")
    monkeypatch.delenv("NS_TALKING_MODELS")
    assert at_hand(["auto"]) == ("mel",)
    assert at_hand(["auto"], tmp_path / "models") == ("hubert", "mel")


def test_what_is_named_is_taken_whether_it_is_at_hand_or_not() -> None:
    assert at_hand(["whisper", "auto", "mel"]) == ("whisper", "mel")


def test_the_folder_of_models_reaches_the_extractor(tmp_path: Path) -> None:
    extractor = feature_extractor("hubert", tmp_path)
    assert extractor.models == tmp_path  # type: ignore[attr-defined]
    assert feature_extractor("mel", tmp_path).name == "mel"


def test_an_identity_needs_no_model() -> None:
    for name in ("hubert", "wav2vec2", "whisper"):
        extractor = feature_extractor(name)
        pin = extractor.model  # type: ignore[attr-defined]
        assert pin.repository in extractor.identity()
        assert pin.revision[:12] in extractor.identity()
        assert pin.sha256[:16] in extractor.identity()
