"""What a portrait costs: planted times and sizes are found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ns_talking.audio.io import write_wav
from ns_talking.evaluation import cost
from ns_talking.evaluation.cost import cost_of, training_minutes
from ns_talking.evaluation.measuring import MeasuredRow
from ns_talking.evaluation.record import RowRecord
from ns_talking.evaluation.subject import Subject
from ns_talking.pipelines.portrait import PortraitPipeline


@pytest.fixture(scope="module")
def subject(pipeline: PortraitPipeline) -> Subject:
    return Subject.held_out(pipeline)


def row(render_s: float, encode_s: float) -> MeasuredRow:
    return MeasuredRow(RowRecord("model", "portrait"), render_s=render_s, encode_s=encode_s)


def test_frames_per_second_count_what_is_asked_for(
    subject: Subject, config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "_extraction_s", lambda subject, sound: 3.0)
    found = cost_of(subject, row(2.0, 1.0), config_path, Path("speech.wav"))
    assert found.values["fps_render"] == len(subject) / 2
    assert found.values["fps_total"] == len(subject) / 6
    assert "one frame at a time" in found.notes["fps_render"]


def test_without_a_time_of_rendering_there_is_no_rate(subject: Subject, config_path: Path) -> None:
    found = cost_of(subject, row(0.0, 0.0), config_path, None)
    assert {"fps_render", "fps_total"} <= set(found.missing)


def test_a_sound_that_is_not_known_leaves_the_rate_of_rendering(subject: Subject, config_path: Path) -> None:
    found = cost_of(subject, row(2.0, 1.0), config_path, None)
    assert "fps_render" in found.values and "is not known" in found.missing["fps_total"]


def test_long_sounds_are_timed_by_their_first_minute(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav(tmp_path / "voice.wav", np.zeros(16_000, dtype=np.float32))
    lengths = []

    def read(path: Path, start_s: float, duration_s: float) -> np.ndarray:
        lengths.append(duration_s)
        return np.zeros(16, dtype=np.float32)

    monkeypatch.setattr(cost, "read_audio", read)
    monkeypatch.setattr(cost, "extract_features", lambda *_: None)
    hour = Subject(subject.pipeline, subject.track, np.arange(90_000), np.zeros(90_000, dtype=int))
    cost._extraction_s(hour, tmp_path / "voice.wav")
    assert lengths == [60.0]


def test_the_size_is_that_of_what_was_trained(subject: Subject, config_path: Path) -> None:
    found = cost_of(subject, row(1.0, 1.0), config_path, None).values
    model = subject.pipeline.portrait_model
    assert found["model_parameters"] == sum(each.numel() for each in model.parameters()) / 1e6
    before = found["model_mb"]
    model.register_buffer("planted", torch.zeros(250_000))
    try:
        after = cost_of(subject, row(1.0, 1.0), config_path, None).values["model_mb"]
    finally:
        del model.planted
    assert after - before == pytest.approx(1.0)


def test_minutes_of_training_come_from_its_record_or_from_its_files(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.touch()
    assert training_minutes(config)[0] is None
    checkpoint = tmp_path / "nerfstudio_models" / "step-000000009.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    os.utime(config, (1000, 1000))
    os.utime(checkpoint, (1180, 1180))
    assert training_minutes(config) == (3.0, "told from the times of config and checkpoint, start-up included")
    (tmp_path / "training.json").write_text(json.dumps({"seconds": 90, "iterations": 10, "device": "cpu"}))
    assert training_minutes(config) == (1.5, "on cpu, 10 iterations")
