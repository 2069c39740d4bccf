"""Laws of what a portrait's videos say of their origin."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from ns_talking.data.subject import Subject, write_subject
from ns_talking.pipelines.origin import portrait_origin, weights_digest
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.scripts.loading import load_portrait
from ns_talking.utils.files import sha256


def test_weights_have_one_digest_in_any_order_and_another_when_changed() -> None:
    state = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to(torch.bfloat16).state_dict()
    digest = weights_digest(state)
    assert weights_digest(dict(reversed(state.items()))) == digest
    assert weights_digest({**state, "_extra_state": {"text": "is no weight"}}) == digest
    assert weights_digest({name: value.clone().view(-1) for name, value in state.items()}) != digest
    for name in state:
        assert weights_digest({**state, name: state[name] + 1}) != digest
    assert weights_digest({f"other.{name}": value for name, value in state.items()}) != digest


@pytest.fixture(scope="module")
def pipeline(trained: Path) -> PortraitPipeline:
    return load_portrait(trained)


def test_the_origin_names_method_clip_sound_and_checkpoint(pipeline: PortraitPipeline, trained: Path) -> None:
    (checkpoint,) = (trained.parent / "nerfstudio_models").iterdir()
    origin = portrait_origin(pipeline)
    assert origin.method == "ERNeRF" and not origin.subject
    assert origin.hashes["checkpoint"] == sha256(checkpoint)
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)["pipeline"]
    assert origin.hashes["weights"] == weights_digest(saved)
    assert origin.hashes["audio"] == sha256(pipeline.portrait_model.portrait.audio)
    assert "training_clip" not in origin.hashes


def test_a_dataset_lends_the_hash_of_its_video_and_the_record_of_consent(
    pipeline: PortraitPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = Subject("Ada", "written", "research", "2026-08-31")
    moved = dataclasses.replace(pipeline.portrait_model.portrait, folder=tmp_path)
    monkeypatch.setattr(pipeline.portrait_model, "portrait", moved)
    write_subject(tmp_path, subject)
    for content in ("{", "[]", json.dumps({"video": {"sha256": 1}})):
        (tmp_path / "manifest.json").write_text(content)
        assert "training_clip" not in portrait_origin(pipeline).hashes
    (tmp_path / "manifest.json").write_text(json.dumps({"video": {"sha256": "ab" * 32}}))
    origin = portrait_origin(pipeline, composite=True)
    assert origin.hashes["training_clip"] == "ab" * 32
    assert origin.subject == vars(subject) and origin.composite
