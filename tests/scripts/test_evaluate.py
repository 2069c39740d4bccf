"""Laws of `ns-talking evaluate`: what it refuses before loading anything, and what it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ns_talking.evaluation.record import RowRecord, RunRecord
from ns_talking.evaluation.runner import Evaluated, Evaluation
from ns_talking.metrics.base import Figure
from ns_talking.scripts import loading
from ns_talking.scripts.evaluate import Evaluate
from ns_talking.scripts.main import main

FIGURE = Figure("psnr", "PSNR", "dB", "higher", "Ratio.")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs" / "me" / "er-nerf" / "now"
    folder.mkdir(parents=True)
    (folder / "config.yml").write_text("read by a patched loader")
    return folder


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"protocol": "quik"}, ValueError, "Did you mean 'quick'"),
        ({"load_config": ()}, ValueError, "names no config"),
        ({"load_config": (Path("nowhere"),)}, FileNotFoundError, "There is no config"),
        ({"landmarks": "openface"}, ValueError, "landmark detectors"),
        ({"max_seconds": 0.0}, ValueError, "nothing to measure"),
        ({"protocol": "cross-driven"}, ValueError, "--sounds DIR"),
        ({"protocol": "cross-driven", "sounds": Path("nowhere")}, FileNotFoundError, "neither a folder nor a file"),
        ({"openface": Path("nowhere")}, FileNotFoundError, "is no folder"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_loaded(
    config: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    def loaded(*_: object) -> None:
        raise AssertionError("something was loaded")

    monkeypatch.setattr(loading, "load_portrait", loaded)
    with pytest.raises(error, match=message):
        Evaluate(**({"load_config": (config,)} | options)).main()


def test_a_folder_without_sounds_is_refused(config: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no sound")
    with pytest.raises(ValueError, match="holds no sound or video file"):
        Evaluate((config,), protocol="cross-driven", sounds=tmp_path).main()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let an evaluation find 30 dB, and 1 dB more for every further training."""
    found: list[Path] = []

    class Detector:
        def __init__(self, models: Path | None) -> None: ...

        def __enter__(self) -> Detector:
            return self

        def __exit__(self, *_: object) -> None: ...

    def run(self: Evaluation) -> Evaluated:
        folder = self._options.output
        found.append(folder)
        rows = [RowRecord("model", "portrait", {"psnr": 29.0 + len(found)}, num_frames=3)]
        name = f"me/er-nerf/{len(found)}"
        record = RunRecord(name, "er-nerf", "me", "s", len(found), "quick", "t", [FIGURE], rows)
        return Evaluated(record, folder)

    monkeypatch.setattr(loading, "load_portrait", lambda path, data: None)
    monkeypatch.setattr(loading, "read_config", lambda path: None)
    monkeypatch.setattr(Evaluate, "_detector", lambda self: Detector(None))
    monkeypatch.setattr(Evaluation, "__init__", lambda self, *given: setattr(self, "_options", given[-1]))
    monkeypatch.setattr(Evaluation, "run", run)
    return found


def test_record_and_page_lie_beside_the_config(
    config: Path, measured: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as status:
        main(["evaluate", "--load-config", str(config), "--protocol", "quick"])
    assert status.value.code == 0
    assert measured == [config / "evaluation" / "quick"]
    assert (measured[0] / "evaluation.json").is_file()
    assert "30.00" in (measured[0] / "evaluation.html").read_text()
    shown = capsys.readouterr().out
    assert "30.00" in shown and "evaluation.html" in shown.replace("\n", "")


def test_several_configs_are_compared_with_mean_and_spread(
    config: Path, measured: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "compared"
    other = config.parent / "later"
    other.mkdir()
    (other / "config.yml").write_text("as the first")
    with pytest.raises(SystemExit) as status:
        main(["evaluate", "--load-config", str(config), str(other), "--protocol", "quick", "--output", str(output)])
    assert status.value.code == 0
    assert measured == [output / "me_er-nerf_now", output / "me_er-nerf_later"]
    assert "30.50 ± 0.71" in (output / "evaluation.html").read_text()
    assert 'href="me_er-nerf_later/evaluation.html"' in (output / "evaluation.html").read_text()
    assert "30.50 ± 0.71" in capsys.readouterr().out
