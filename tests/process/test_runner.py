from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ns_talking.process import STEPS, runner
from ns_talking.process.runner import RunResult, run_steps
from ns_talking.process.step import ProcessSettings, Progress, Step, Workspace, atomic_folder
from ns_talking.utils.files import atomic_path
from ns_talking.utils.registry import lookup

CHAIN = {name: f"recorders:{name.title()}" for name in ("first", "second", "third", "aside")}


class Recorder:
    """A step that writes what it read, and remembers that it ran."""

    name = ""
    needs: tuple[str, ...] = ()
    version = 1
    setting = ""
    runs: list[str] = []
    failure: BaseException | None = None

    def outputs(self, workspace: Workspace) -> list[Path]:
        return [workspace.folder / f"{self.name}.txt", workspace.folder / f"{self.name}_pictures"]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        return {self.setting: getattr(settings, self.setting)} if self.setting else {}

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        Recorder.runs.append(self.name)
        text, pictures = self.outputs(workspace)
        with atomic_folder(pictures) as folder:
            (folder / "0.jpg").write_text(self.name)
            if self.failure is not None:
                raise self.failure
        with atomic_path(text) as temporary:
            temporary.write_text("".join((workspace.folder / f"{need}.txt").read_text() for need in self.needs) + "x")
        return {"notes": [f"{self.name} ran"]}


class First(Recorder):
    name, setting = "first", "size"


class Second(Recorder):
    name, needs, setting = "second", ("first",), "focal"


class Third(Recorder):
    name, needs = "third", ("second",)


class Aside(Recorder):
    name, needs = "aside", ("first",)


@pytest.fixture
def run(tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    video = tmp_path / "video.mp4"
    video.write_bytes(b"pictures")
    module = ModuleType("recorders")
    for step in (First, Second, Third, Aside):
        setattr(module, step.__name__, step)
    monkeypatch.setitem(sys.modules, "recorders", module)

    def once(settings: ProcessSettings | None = None, path: Path = video, **options: Any) -> list[str]:
        Recorder.runs = []
        workspace = Workspace(tmp_path / "dataset", path, settings or ProcessSettings())
        once.result = run_steps(workspace, quiet, registry=CHAIN, **options)  # type: ignore[attr-defined]
        return Recorder.runs

    return once


def manifest(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "dataset" / "manifest.json").read_text())


def test_a_second_run_does_nothing_and_repeats_the_notes(run: Callable[..., list[str]]) -> None:
    assert run() == ["first", "second", "third", "aside"]
    assert run() == []
    result: RunResult = run.result  # type: ignore[attr-defined]
    assert result.nothing_done and result.notes[0] == "first ran"


def test_other_settings_run_again_only_what_depends_on_them(run: Callable[..., list[str]]) -> None:
    run()
    assert run(ProcessSettings(focal=800.0)) == ["second", "third"]
    assert run(ProcessSettings(focal=800.0, size=256)) == ["first", "second", "third", "aside"]


def test_a_newer_version_of_a_step_runs_again(run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setattr(Aside, "version", 2)
    assert run() == ["aside"]


@pytest.mark.parametrize("damage", ["missing", "shorter", "picture"])
def test_missing_or_changed_outputs_are_made_again(run: Callable[..., list[str]], tmp_path: Path, damage: str) -> None:
    run()
    text = tmp_path / "dataset" / "second.txt"
    if damage == "missing":
        text.unlink()
    elif damage == "shorter":
        text.write_text("")
    else:
        (tmp_path / "dataset" / "second_pictures" / "0.jpg").unlink()
    assert run() == ["second", "third"]
    assert text.read_text() == "xx"


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("bad video")])
def test_an_interrupted_step_is_done_again_and_earlier_ones_are_kept(
    run: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    monkeypatch.setattr(Second, "failure", failure)
    with pytest.raises(type(failure)):
        run()
    assert list(manifest(tmp_path)["steps"]) == ["first"]
    assert not (tmp_path / "dataset" / "second_pictures").exists()
    monkeypatch.setattr(Second, "failure", None)
    assert run() == ["second", "third", "aside"]


@pytest.mark.parametrize("function", ["_remove_leftovers", "_fingerprint", "_forget", "write_json"])
def test_a_run_killed_before_its_first_step_goes_on(
    function: str, run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(runner, function, _killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert run() == list(CHAIN)


def test_outdated_outputs_are_gone_while_new_ones_are_made(
    run: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setattr(First, "failure", ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        run(ProcessSettings(size=64))
    assert not (tmp_path / "dataset" / "third.txt").exists()
    assert manifest(tmp_path)["steps"] == {}


def test_leftovers_of_a_killed_run_are_removed(run: Callable[..., list[str]], tmp_path: Path) -> None:
    run()
    leftover = tmp_path / "dataset" / ".images.1234abcd.partial"
    leftover.mkdir()
    (leftover / "000000.jpg").write_text("half")
    run()
    assert not leftover.exists()


def test_a_video_that_failed_at_its_first_step_leaves_the_folder_to_another(
    run: Callable[..., list[str]], tmp_path: Path
) -> None:
    run()
    manifest = tmp_path / "dataset" / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "steps": {}}))
    other = tmp_path / "other.mp4"
    other.write_bytes(b"other pictures")
    run(path=other)
    assert json.loads(manifest.read_text())["video"]["name"] == "other.mp4"


@pytest.mark.parametrize(("failure", "is_left"), [(ValueError("no video"), False), (KeyboardInterrupt(), True)])
def test_a_video_that_cannot_be_used_leaves_no_new_folder(
    run: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    is_left: bool,
) -> None:
    monkeypatch.setattr(First, "failure", failure)
    with pytest.raises(type(failure)):
        run()
    assert (tmp_path / "dataset").exists() == is_left


def test_what_was_in_the_folder_stays_when_a_video_cannot_be_used(
    run: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / ".mine").touch()
    monkeypatch.setattr(First, "failure", ValueError("no video"))
    with pytest.raises(ValueError, match="no video"):
        run()
    assert (tmp_path / "dataset" / ".mine").exists()


def test_a_folder_in_place_of_a_video_is_called_one(run: Callable[..., list[str]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder. Name the video itself"):
        run(path=tmp_path)


def test_another_video_is_refused_unless_overwritten(run: Callable[..., list[str]], tmp_path: Path) -> None:
    run()
    other = tmp_path / "other.mp4"
    other.write_bytes(b"other pictures")
    with pytest.raises(ValueError, match=r"another video \(video.mp4\).*--overwrite"):
        run(path=other)
    consent = tmp_path / "dataset" / "subject.json"
    consent.write_text("of the person in the first video")
    run(overwrite=True)
    assert consent.exists()
    assert run(path=other, overwrite=True) == ["first", "second", "third", "aside"]
    assert not consent.exists()
    assert run(path=other) == []


def test_a_folder_of_something_else_is_refused(run: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="was not made by"):
        run(overwrite=True)
    assert (tmp_path / "dataset" / "thesis.tex").read_text() == "precious"


def test_a_missing_video_is_named(run: Callable[..., list[str]], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.mp4"):
        run(path=tmp_path / "nowhere.mp4")


def test_steps_asked_for_bring_what_they_need(run: Callable[..., list[str]]) -> None:
    assert run(names=["second"]) == ["first", "second"]


def test_the_manifest_says_how_the_dataset_was_made(run: Callable[..., list[str]], tmp_path: Path) -> None:
    run()
    content = manifest(tmp_path)
    assert content["video"]["name"] == "video.mp4" and len(content["video"]["sha256"]) == 64
    assert "numpy" in content["tools"]
    second = content["steps"]["second"]
    assert second["settings"] == {"focal": None} and second["needs"] == ["first"]
    assert len(second["outputs"]["second.txt"]["sha256"]) == 64 and second["seconds"] >= 0


def test_every_registered_step_keeps_the_contract() -> None:
    earlier: set[str] = set()
    for name in STEPS:
        step = lookup(STEPS, name, "steps")()
        assert isinstance(step, Step) and step.name == name
        assert set(step.needs) <= earlier, name
        json.dumps(step.settings_key(replace(ProcessSettings(), focal=900.0)))
        earlier.add(name)


def _killed(*arguments: Any) -> None:
    raise KeyboardInterrupt
