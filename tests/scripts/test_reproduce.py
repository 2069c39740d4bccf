"""Experiments can be read, printed, run, continued and compared; their numbers are those of their records."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

from ns_talking.evaluation.record import RowRecord, RunRecord, read_record, write_record
from ns_talking.metrics.base import Figure
from ns_talking.scripts.experiment import read_experiment
from ns_talking.scripts.reproduce import Reproduce

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / "configs" / "experiments").glob("*.yaml"))
RESULTS = ROOT / "benchmarks" / "results"


PSNR = Figure("psnr", "PSNR", "dB", "higher", "Ratio.")


def evaluation(method: str, seed: int, psnr: float) -> RunRecord:
    rows = [
        RowRecord("re-encoded", "real frames", {"psnr": 40.0}),
        RowRecord("model", "portrait", {"psnr": psnr}, {"fid": "FID needs a file. Put it into /somewhere."}),
    ]
    return RunRecord(f"me/{method}/{seed}", method, "me", "s", seed, "quick", "t", [PSNR], rows)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An experiment whose evaluation finds its seed plus one."""
    script = tmp_path / "evaluate.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "path, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[3])\n"
        "path.parent.mkdir(parents=True, exist_ok=True)\n"
        "content = json.loads(source.read_text())\n"
        "content['runs'][0]['rows'][1]['values']['psnr'] = float(sys.argv[2]) + 1\n"
        "path.write_text(json.dumps(content))\n"
    )
    (tmp_path / "records").mkdir()
    write_record(tmp_path / "records" / "er.json", [evaluation("er-nerf", 1, 2.2)])
    write_record(tmp_path / "records" / "rad.json", [evaluation("rad-nerf", 1, 9.0)])
    source = tmp_path / "records" / "er.json"
    content = {
        "name": "small",
        "title": "A small experiment",
        "about": "It takes no time.",
        "device": "anything",
        "prepare": [{"command": f"python {script} {{output}}/data.json 0 {source}", "makes": "{output}/data.json"}],
        "steps": [
            {"command": f"python {script} {{output}}/{{method}}{{seed}}.json {{seed}} {source}",
             "makes": "{output}/{method}{seed}.json"},
        ],
        "figures": [
            {"row": "model", "figure": "psnr", "title": "PSNR", "unit": "dB", "tolerance": 0.5, "decimals": 1,
             "meaning": "Nothing."},
        ],
        "records": "records",
        "methods": {"er-nerf": {1: "er.json", 2: "unmeasured"}, "rad-nerf": {1: "rad.json"}},
    }  # fmt: skip
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def results_table(benchmark_module: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_module("results_table")


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
    write_record(record, [evaluation("er-nerf", 1, 2.6)])
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
        ("er.json", "rad.json", "rad.json is of rad-nerf, seed 1, not of er-nerf, seed 1"),
        ("name: small", "name: [small", "is no YAML"),
        ("tolerance: 0.5", "tolerance: wide", "is no experiment"),
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


def test_a_record_that_is_gone_or_is_none_is_named(file: Path) -> None:
    (file.parent / "records" / "er.json").write_text("{}")
    with pytest.raises(ValueError, match=r"er\.json is no evaluation"):
        read_experiment(file)
    (file.parent / "records" / "er.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"er\.json"):
        read_experiment(file)


def test_an_evaluation_without_the_figure_says_why(file: Path) -> None:
    (figure,) = read_experiment(file).figures
    record = evaluation("er-nerf", 1, 3.0)
    with pytest.raises(ValueError, match="has no row 'model@real-torso'"):
        replace(figure, row="model@real-torso").read(record)
    with pytest.raises(ValueError, match="has no 'fid' of 'model'. FID needs a file"):
        replace(figure, key="fid").read(record)
    with pytest.raises(ValueError, match="has no 'lmd' of 'model'. Was it made by another protocol"):
        replace(figure, key="lmd").read(record)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_records_hold_every_figure_of_their_experiment(path: Path) -> None:
    experiment = read_experiment(path)
    assert experiment.name == path.stem
    for runs in experiment.methods.values():
        for record in filter(None, runs.values()):
            for figure in experiment.figures:
                assert np.isfinite(figure.read(record))
    for record in RESULTS.glob(f"{experiment.name}_*.json"):
        assert record.name in path.read_text(), "a record that no experiment names"
        assert "/" not in "".join(read_record(record)[0].rows[-1].missing.values())


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


def test_the_readme_shows_the_table_that_the_records_give(results_table: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text()
    text = results_table.results(EXPERIMENTS)
    assert results_table.inserted(readme, text) == readme, "run: python benchmarks/results_table.py --write"
    assert text.count("*real frames, encoded again*") == len(EXPERIMENTS)
    with pytest.raises(ValueError, match="lacks the marks"):
        results_table.inserted("nothing", text)


def test_a_table_has_mean_and_range_over_seeds_and_says_what_is_unmeasured(
    results_table: ModuleType, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(file.parent / "records" / "more.json", [evaluation("er-nerf", 2, 3.2)])
    file.write_text(file.read_text().replace("2: unmeasured", "2: more.json\n    3: unmeasured"))
    file.write_text(file.read_text().replace("1: rad.json", "1: unmeasured"))
    monkeypatch.setattr(results_table, "ROOT", file.parent)
    lines = results_table.table(read_experiment(file), file).splitlines()
    assert "| *real frames, encoded again* | 40.0 | - |" in lines
    assert "| `er-nerf` | 2.7 (2.2 to 3.2) | 1, 2 at ? |" in lines
    assert "| `rad-nerf` | unmeasured | - |" in lines


def test_an_evaluation_is_kept_as_a_record_without_folders_of_this_machine(
    results_table: ModuleType, file: Path, tmp_path: Path
) -> None:
    found = tmp_path / "evaluation.json"
    write_record(found, [evaluation("er-nerf", 7, 3.0)])
    line = results_table.taken(read_experiment(file), found, tmp_path)
    assert line == "er-nerf: {7: small_er-nerf_seed7.json}"
    (kept,) = read_record(tmp_path / "small_er-nerf_seed7.json")
    assert kept.rows[1].missing == {"fid": "FID needs a file."}
    assert kept.rows[1].values == {"psnr": 3.0}
    write_record(found, [evaluation("other", 7, 3.0)])
    with pytest.raises(ValueError, match="is of other, which small does not have"):
        results_table.taken(read_experiment(file), found, tmp_path)
