"""Laws of asking who is shown."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ns_talking.data.subject import Subject, read_subject, write_subject
from ns_talking.process.runner import RunResult, StepResult
from ns_talking.scripts import consent, process
from ns_talking.scripts.consent import asked_subject
from ns_talking.scripts.process import Process

SUBJECT = Subject("Ada", "written", "research", "2026-08-31")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A person at the terminal, who gives these answers."""
    given: list[str] = []
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr(type(consent.CONSOLE), "is_terminal", property(lambda self: True))
    monkeypatch.setattr(consent.CONSOLE, "input", lambda *_, **__: given.pop(0))
    return given


def test_nobody_is_asked_where_there_is_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def waiting(*_: object, **__: object) -> str:
        raise AssertionError("it waits for an answer")

    monkeypatch.setattr(consent.CONSOLE, "input", waiting)
    assert asked_subject(None, tmp_path) is None


def test_answers_become_the_record_with_todays_date(answers: list[str], tmp_path: Path) -> None:
    answers += ["Ada", "written", "research", ""]
    assert asked_subject(None, tmp_path) == Subject("Ada", "written", "research", date.today().isoformat())
    answers += ["Ada", "written", "research", "2026-08-31"]
    assert asked_subject(None, tmp_path) == SUBJECT


def test_questions_end_at_the_first_that_is_left_out(answers: list[str], tmp_path: Path) -> None:
    answers += ["Ada", ""]
    assert asked_subject(None, tmp_path) is None
    assert not answers


def test_a_dataset_that_has_a_record_keeps_it(answers: list[str], tmp_path: Path) -> None:
    write_subject(tmp_path, SUBJECT)
    assert asked_subject(None, tmp_path) is None


def test_a_file_is_taken_and_a_missing_one_is_named(tmp_path: Path) -> None:
    write_subject(tmp_path, SUBJECT)
    assert asked_subject(tmp_path / "subject.json", tmp_path / "data") == SUBJECT
    with pytest.raises(FileNotFoundError, match="no record of consent .*other.json"):
        asked_subject(tmp_path / "other.json", tmp_path / "data")


def test_process_keeps_the_record_in_the_dataset_or_says_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(workspace: Any, progress: object, *, finished: Any, **options: object) -> RunResult:
        step = StepResult("frames", False, 1.0, {})
        finished(step)
        return RunResult([step])

    monkeypatch.setattr(process, "run_steps", run)
    Process(tmp_path / "a.mp4", tmp_path / "without").main()
    assert "nobody said who is shown" in capsys.readouterr().out
    write_subject(tmp_path, SUBJECT)
    Process(tmp_path / "a.mp4", tmp_path / "with", subject=tmp_path / "subject.json").main()
    assert read_subject(tmp_path / "with") == SUBJECT
    assert "nobody said" not in capsys.readouterr().out
