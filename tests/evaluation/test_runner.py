"""An evaluation as a whole: what it writes, what it keeps, what it says is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ns_talking.audio.io import write_wav
from ns_talking.evaluation.comparison import compared
from ns_talking.evaluation.page import comparison_page, run_page
from ns_talking.evaluation.protocol import Demand, Protocol, RowName, read_protocol
from ns_talking.evaluation.record import VERSION, read_record, write_record
from ns_talking.evaluation.runner import Evaluated
from ns_talking.evaluation.tables import missing_reasons
from ns_talking.metrics import METRICS
from ns_talking.utils.video import read_frames, video_info

Run = Callable[..., Evaluated]


def protocol(*rows: str, metrics: tuple[str, ...] = ("psnr", "aperture"), **changes: object) -> Protocol:
    chosen = replace(read_protocol("quick"), rows=tuple(RowName.parse(row) for row in rows), metrics=metrics)
    return replace(chosen, **changes)


def test_every_row_states_every_figure_or_its_reason(evaluate: Run) -> None:
    chosen = protocol("real", "mean-face", "model", "model@real-torso", "silenced", metrics=tuple(METRICS))
    record = evaluate(chosen).record
    assert [row.name for row in record.rows] == ["real", "mean-face", "model", "model@real-torso", "silenced"]
    keys = {figure.key for figure in chosen.figures}
    for row in record.rows:
        assert keys <= set(row.values) | set(row.missing)
        assert not set(row.values) & set(row.missing)
        assert np.isfinite(list(row.values.values())).all()
        assert row.num_frames == 8
    model = record.row("model")
    assert model is not None
    assert {"fps_render", "fps_total", "model_mb", "model_parameters", "training_minutes"} <= (
        set(model.values) | set(model.missing)
    )
    assert model.values["psnr"] != record.rows[3].values["psnr"]


def test_missing_weights_are_named_once_and_tables_of_openface_are_asked_for(evaluate: Run) -> None:
    record = evaluate(protocol("model", metrics=("aue", "sync", "csim", "fid", "lpips"))).record
    reasons = missing_reasons(record)
    files = (
        "syncnet_v2.model",
        "face_recognition_sface_2021dec.onnx",
        "weights-inception",
        "alexnet-owt",
        "--openface",
    )
    for file in files:
        assert len([reason for reason in reasons if file in reason]) == 1, file


def test_a_row_that_is_done_is_not_measured_again(evaluate: Run, make_detector: Callable) -> None:
    chosen = protocol("real", "model", "shifted")
    first, second = make_detector(), make_detector()
    before = evaluate(chosen, first).record
    after = evaluate(chosen, second).record
    assert first.num_images == 8 * 4 and second.num_images == 0
    assert after.rows == before.rows
    third = make_detector()
    evaluate(replace(chosen, rows=(*chosen.rows, RowName("reversed"))), third)
    assert third.num_images == 8
    fourth = make_detector()
    evaluate(chosen, fourth, overwrite=True)
    assert fourth.num_images == 8 * 3


def test_another_sound_of_the_same_name_and_length_is_measured_again(
    evaluate: Run, make_detector: Callable, tmp_path: Path
) -> None:
    chosen = replace(read_protocol("cross-driven"), metrics=("silence",), rows=(RowName("model"),))
    counts = []
    for seed in (0, 0, 1):
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, 8000).astype(np.float32)
        write_wav(tmp_path / "a.wav", samples)
        detector = make_detector()
        evaluate(chosen, detector, sounds=(tmp_path / "a.wav",))
        counts.append(detector.num_images)
    assert counts[1] == 0 and counts[2] > 0


def test_other_metrics_are_measured_again(evaluate: Run, make_detector: Callable) -> None:
    evaluate(protocol("model", metrics=("psnr",)))
    detector = make_detector()
    evaluate(protocol("model", metrics=("psnr", "ssim")), detector)
    assert detector.num_images == 8


def test_videos_and_pictures_of_the_shown_row_are_written(evaluate: Run, tmp_path: Path) -> None:
    evaluated = evaluate(protocol("real", "model", "model@real-torso"))
    folder = tmp_path / "evaluation"
    assert sorted(path.name for path in (folder / "videos").iterdir()) == [
        "model.mp4",
        "model_real-torso.mp4",
        "real.mp4",
    ]
    video = folder / "work" / "model" / "side_by_side.mp4"
    assert video_info(video).has_sound
    frames = list(read_frames(video))
    assert len(frames) == 8 and frames[0].shape == (256, 768, 3)
    assert evaluated.shown == ("model",)
    assert set(evaluated.curves["model"]) >= {"psnr", "aperture", "aperture_real"}


def test_the_page_is_one_file_with_every_part(evaluate: Run) -> None:
    demands = (Demand("psnr", ("model",), at_least=99.0), Demand("psnr", ("model",), at_least=1.0))
    text = run_page(evaluate(protocol("real", "mean-face", "model", demands=demands)))
    sources = re.findall(r'src="([^"]{0,30})', text)
    assert len(re.findall(r'<video [^>]*poster="data:image/jpeg;base64,', text)) == 1
    kinds = sorted({source.split(";")[0] for source in sources})
    assert kinds == ["data:image/jpeg", "data:image/png", "data:video/mp4"]
    assert not re.search(r'(src|href)="?(https?:|/)', text)
    for part in (
        "Demands",
        "Image",
        "Worst mouths",
        "Where errors lie",
        "Lips and eyes",
        "Definitions",
        "Circumstances",
    ):
        assert f"<h2>{part}</h2>" in text or f">{part}<" in text, part
    assert text.count(">missed<") == 1 and text.count(">met<") == 1
    assert "nan" not in text.lower().split("</style>")[1].replace("nanmean", "").split("base64")[0]


def test_two_trainings_are_set_side_by_side(evaluate: Run, tmp_path: Path) -> None:
    runs = [evaluate(protocol("real", "model"), output=tmp_path / name) for name in "ab"]
    records = [run.record for run in runs]
    other = replace(runs[1], record=replace(records[1], settings="other", name="<other>"))
    groups = compared([records[0], other.record])
    text = comparison_page([runs[0], other], groups, "model", ["a/evaluation.html", "b/evaluation.html"])
    assert "&lt;other&gt;" in text and "<other>" not in text
    assert text.count("<video") == 2
    assert 'href="b/evaluation.html"' in text


def test_the_record_survives_its_file(evaluate: Run, tmp_path: Path) -> None:
    record = evaluate(protocol("real", "model", demands=(Demand("psnr", ("model",), at_most=1.0),))).record
    write_record(tmp_path / "evaluation.json", [record])
    assert read_record(tmp_path / "evaluation.json") == [record]
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert (content["schema"], content["version"]) == ("ns-talking evaluation", VERSION)
    assert "NaN" not in (tmp_path / "evaluation.json").read_text()


def test_records_of_other_programs_and_newer_versions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    for content, message in (("{", "not valid JSON"), ("{}", "is no evaluation")):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            read_record(path)
    path.write_text(json.dumps({"schema": "ns-talking evaluation", "version": VERSION + 1}))
    with pytest.raises(ValueError, match="Upgrade"):
        read_record(path)


def test_other_voices_drive_the_portrait(evaluate: Run, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("a.wav", "b.wav"):
        write_wav(tmp_path / name, generator.uniform(-0.5, 0.5, 8000).astype(np.float32))
    chosen = replace(read_protocol("cross-driven"), metrics=("lip_sound", "silence", "stability", "likeness"))
    evaluated = evaluate(chosen, sounds=(tmp_path / "a.wav", tmp_path / "b.wav"))
    names = [row.name for row in evaluated.record.rows]
    assert names[:5] == ["real", "a.wav: model", "a.wav: silenced", "b.wav: model", "b.wav: silenced"]
    assert names[5:] == ["all voices: model", "all voices: silenced"]
    assert evaluated.shown == ("a.wav: model", "b.wav: model")
    assert all("jitter" in row.values for row in evaluated.record.rows)
    text = run_page(evaluated)
    assert text.count("<video") == 2 and "driven by a.wav, b.wav" in text
    # A frame that lends its pose says nothing about how the lips should be.
    assert text.count("Lips over the sound") == 2
    assert "Worst mouths" not in text and "Where errors lie" not in text
