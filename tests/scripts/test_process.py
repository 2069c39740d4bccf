from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from speech_models import install

from ns_talking.data.subject import Subject, read_subject
from ns_talking.process.runner import RunResult, StepResult
from ns_talking.process.step import Workspace
from ns_talking.scripts import process
from ns_talking.scripts.main import main
from ns_talking.scripts.process import Process
from ns_talking.utils.files import write_json


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 10}, "--size 10 is out of range"),
        ({"start": -1.0}, "--start -1 is negative"),
        ({"max_seconds": 0.0}, "--max-seconds 0 leaves nothing"),
        ({"focal": -3.0}, "--focal -3 is not a focal length"),
        ({"landmarks": "openface"}, "openface.*Known: mediapipe, face-alignment"),
        ({"audio_features": ("mell",)}, "mell.*Did you mean 'mel'"),
        ({"parsing": "guess"}, "guess.*Known"),
    ],
)
def test_a_wrong_option_is_refused_before_any_work(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Process(tmp_path / "a.mp4", tmp_path / "data", **options).main()
    assert not (tmp_path / "data").exists()


def test_a_missing_video_and_a_missing_models_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no video .*a.mp4"):
        Process(tmp_path / "a.mp4", tmp_path / "data").main()
    with pytest.raises(FileNotFoundError, match="--models .*weights"):
        Process(tmp_path / "a.mp4", tmp_path / "data", models=tmp_path / "weights").main()


def test_options_reach_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Workspace] = []

    def run(workspace: Workspace, progress: object, **options: object) -> RunResult:
        seen.append(workspace)
        return RunResult([StepResult("frames", True, 1.0, {})])

    monkeypatch.setattr(process, "run_steps", run)
    arguments = ["process", "a.mp4", "--output", str(tmp_path), "--size", "256", "--start", "3", "--focal", "450"]
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--crop", "none", "--audio-features", "mel"])
    assert exit_.value.code == 0
    settings = seen[0].settings
    assert (settings.size, settings.start_s, settings.focal, settings.crop) == (256, 3.0, 450.0, "none")
    assert settings.audio_features == ("mel",)


def test_audio_features_are_chosen_by_what_is_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NS_TALKING_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NS_TALKING_MODELS", raising=False)
    assert Process(tmp_path / "a.mp4", tmp_path)._settings().audio_features == ("mel",)
    install("hubert", tmp_path / "models", monkeypatch)
    assert Process(tmp_path / "a.mp4", tmp_path)._settings().audio_features == ("hubert", "mel")


def test_a_second_run_says_that_nothing_was_done_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = RunResult([StepResult("frames", True, 1.0, {"notes": ["The sound was aligned."]})])
    monkeypatch.setattr(process, "run_steps", lambda *_, **__: result)
    Process(tmp_path / "a.mp4", tmp_path).main()
    output = " ".join(capsys.readouterr().out.split())
    assert "Note: The sound was aligned." in output and "nothing was done" in output
    assert f"ns-train er-nerf --data {tmp_path}" in output


def test_an_interruption_says_what_is_finished_and_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(workspace: Workspace, progress: object, *, finished: Any, **options: object) -> RunResult:
        finished(StepResult("frames", False, 2.0, {}))
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "run_steps", run)
    with pytest.raises(SystemExit) as exit_:
        main(["process", "a.mp4", "--output", str(tmp_path / "data")])
    assert exit_.value.code == 130
    output = " ".join(capsys.readouterr().err.split())
    assert "Interrupted. Finished so far: frames. The same command continues from there." in output


def test_an_interruption_before_the_first_step_is_done_keeps_who_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = Subject("Ada", "written", "research", "2026-08-31")

    def run(workspace: Workspace, progress: object, **options: object) -> RunResult:
        write_json(workspace.manifest, {})
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "run_steps", run)
    monkeypatch.setattr(process, "asked_subject", lambda *_: ada)
    with pytest.raises(KeyboardInterrupt):
        Process(tmp_path / "a.mp4", tmp_path / "data").main()
    assert read_subject(tmp_path / "data") == ada
