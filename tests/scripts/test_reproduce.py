"""Experiments can be read, printed, run, continued and compared; their numbers are those of their records."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from ns_talking.scripts.experiment import read_experiment
from ns_talking.scripts.reproduce import Reproduce

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / "configs" / "experiments").glob("*.yaml"))
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An experiment whose training writes its seed plus one as the result."""
    script = tmp_path / "train.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "path.parent.mkdir(parents=True, exist_ok=True)\n"
        "path.write_text(json.dumps({'deep': {'psnr': float(sys.argv[2]) + 1}}))\n"
    )
    content = {
        "name": "small",
        "title": "A small experiment",
        "about": "It takes no time.",
        "device": "anything",
        "prepare": [{"command": f"python {script} {{output}}/data.json 0", "makes": "{output}/data.json"}],
        "steps": [
            {"command": f"python {script} {{output}}/{{method}}{{seed}}.json {{seed}}",
             "makes": "{output}/{method}{seed}.json"},
        ],
        "figures": {
            "psnr": {"path": ["deep", "psnr"], "title": "PSNR", "unit": "dB", "tolerance": 0.5, "decimals": 1,
                     "truth": "∞", "meaning": "Nothing."},
        },
        "methods": {
            "er-nerf": {1: {"record": "none.json", "figures": {"psnr": 2.2}}, 2: "unmeasured"},
            "rad-nerf": {1: {"record": "none.json", "figures": {"psnr": 9.0}}},
        },
    }  # fmt: skip
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_without_run_the_commands_and_numbers_are_printed(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Reproduce(file, output=tmp_path / "out", methods=("er-nerf",)).main()
    shown = printed(capsys)
    assert shown.count("$ python") == 3
    assert "2.2 ± 0.5" in shown and "unmeasured" in shown and "--run" in shown
    assert not (tmp_path / "out").exists()


def test_what_agrees_is_said_and_what_is_complete_is_kept(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = Reproduce(file, run=True, output=tmp_path / "out", methods=("er-nerf",))
    verb.main()
    assert "agrees" in printed(capsys)
    record = tmp_path / "out" / "small" / "er-nerf1.json"
    record.write_text(json.dumps({"deep": {"psnr": 2.6}}))
    verb.main()
    shown = printed(capsys)
    assert "$ python" not in shown and "2.6" in shown


def test_a_number_outside_its_tolerance_is_an_error(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 figures lie outside their tolerance: rad-nerf seed 1 PSNR 2.0"):
        Reproduce(file, run=True, output=tmp_path / "out").main()


def test_a_command_that_does_not_make_its_file_is_an_error(file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text().replace("makes: '{output}/{method}{seed}.json'", "makes: '{output}/other'"))
    with pytest.raises(ValueError, match="ended without .*other"):
        Reproduce(file, run=True, output=tmp_path / "out").main()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("device: anything", "gadget: anything", "lacks 'device'"),
        ("{seed}", "{sed}", r"names \{sed\}, known are \{output\}, \{shared\}"),
        ("psnr: 2.2", "ssim: 2.2", "a run has the figures ssim, the experiment defines psnr"),
        ("name: small", "name: [small", "is no YAML"),
        ("figures:\n  psnr:\n", "figures:\n  - psnr:\n", "is no experiment"),
    ],
)
def test_a_file_that_is_no_experiment_says_what_is_wrong(file: Path, old: str, new: str, message: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_experiment(file)


def test_unknown_methods_and_seeds_are_named(file: Path) -> None:
    with pytest.raises(ValueError, match="no method 'nerf'. It has: er-nerf, rad-nerf"):
        Reproduce(file, methods=("nerf",)).main()
    with pytest.raises(ValueError, match="no run with the seeds"):
        Reproduce(file, seeds=(7,)).main()


def test_a_record_without_the_figure_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="The record has no deep / psnr"):
        read_experiment(file).figures[0].read({"deep": {}})


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_expected_numbers_are_those_of_their_records(path: Path) -> None:
    experiment = read_experiment(path)
    assert experiment.name == path.stem
    for runs in experiment.methods.values():
        for expected in filter(None, runs.values()):
            record = json.loads((RESULTS / expected.record).read_text())
            for figure in experiment.figures:
                assert expected.values[figure.key] == pytest.approx(figure.read(record), abs=0.6 * 10**-figure.decimals)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiments_use_commands_and_methods_that_exist(path: Path) -> None:
    from ns_talking.scripts.main import VERBS

    experiment = read_experiment(path)
    declared = (ROOT / "pyproject.toml").read_text()
    for method in experiment.methods:
        assert re.search(rf'^"?{re.escape(method)}"? = "ns_talking\.methods\.', declared, flags=re.MULTILINE)
    for step in (*experiment.prepare, *experiment.steps):
        program, first = step.command.split()[:2]
        assert program in ("ns-train", "ns-eval", "ns-talking", "python")
        assert program != "ns-talking" or first in VERBS
        assert program != "python" or (ROOT / first).is_file()


def test_the_readme_shows_the_table_that_the_records_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    results_table = importlib.import_module("results_table")
    readme = (ROOT / "README.md").read_text()
    text = results_table.results(EXPERIMENTS)
    assert results_table.inserted(readme, text) == readme, "run: python benchmarks/results_table.py --write"
    assert text.count("*real frames*") == len(EXPERIMENTS)
    with pytest.raises(ValueError, match="lacks the marks"):
        results_table.inserted("nothing", text)
    sys.modules.pop("results_table")
