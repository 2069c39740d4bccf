"""Times are taken of what agrees, written down with all that they depend on, and shown as they were written."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[1]
OPTIONS = {"device": "cpu", "repeats": 3, "threads": 1, "clock": "wall", "no_record": False}


@pytest.fixture
def modules(benchmark_module: Callable[[str], ModuleType]) -> tuple[ModuleType, ModuleType]:
    """`timing` and `performance_table`."""
    return benchmark_module("timing"), benchmark_module("performance_table")


def test_the_readme_shows_the_times_that_the_records_give(modules: tuple[ModuleType, ModuleType]) -> None:
    timing, performance_table = modules
    readme = (ROOT / "README.md").read_text()
    text = performance_table.performance(sorted(timing.RESULTS.glob("*.json")))
    assert performance_table.inserted(readme, text, performance_table.MARKS) == readme, (
        "run: python benchmarks/performance_table.py --write"
    )


def test_sides_that_differ_get_no_number(
    modules: tuple[ModuleType, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    timing, _ = modules
    case = timing.Case("sums", {"right": lambda: [torch.ones(2)], "wrong": lambda: [torch.tensor([1.0, 1.1])]})
    with pytest.raises(SystemExit, match="sums: 'wrong' is off by 0.1 of 1. No numbers before it is right"):
        timing.run([lambda: case], argparse.Namespace(**OPTIONS))
    with pytest.raises(SystemExit, match="off by nan"):
        timing.check(timing.Case("nan", {"a": lambda: [torch.ones(1)], "b": lambda: [torch.tensor([torch.nan])]}))
    assert not capsys.readouterr().out


def test_a_record_tells_what_its_times_depend_on_and_keeps_other_cases(
    modules: tuple[ModuleType, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    timing, performance_table = modules
    monkeypatch.setattr(timing, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(timing, "ROOT", tmp_path)
    monkeypatch.setattr(timing, "commit", lambda: "abc1234")
    options = argparse.Namespace(**OPTIONS)

    def case(name: str) -> object:
        return timing.Case(name, {"slow": lambda: [torch.ones(9)], "quick": lambda: [torch.ones(9)]}, shape="9")

    timing.run([lambda: case("first"), lambda: case("second")], options)
    timing.run([lambda: case("second"), lambda: case("third")], options)
    (path,) = (tmp_path / "results").glob("*.json")
    record = json.loads(path.read_text())
    assert path.name == f"{timing.device_name('cpu')}_abc1234.json"
    assert [row["case"] for row in record["cases"]] == ["first", "second", "third"]
    assert record["torch"] == torch.__version__.partition("+")[0] or record["torch"] == torch.__version__
    assert all(row["load"] >= 0 and row["repeats"] == 3 and row["shape"] == "9" for row in record["cases"])
    (tmp_path / "results" / "another.json").write_text('{"psnr": 30}')
    text = performance_table.performance(sorted((tmp_path / "results").glob("*.json")))
    assert text.count("| slow |") == text.count("| quick |") == 3 and "commit abc1234" in text


def test_the_newest_record_of_a_device_counts(modules: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    timing, performance_table = modules
    assert performance_table.performance([]) == performance_table.UNMEASURED
    sides = {
        "slow": {"median_ms": 2000.0, "p20_ms": 1.0, "p80_ms": 3000.0},
        "quick": {"median_ms": 4.0, "p20_ms": 3.0, "p80_ms": 5.0},
    }
    for name, date in (("b_old", "2026-01-01"), ("a_new", "2026-02-01")):
        record = {"format": timing.FORMAT, "device": "chip", "commit": name, "date": date, "threads": 2, "clock": "cpu"}
        record |= {
            "torch": "2.9",
            "triton": None,
            "numba": "0.6",
            "cases": [{"case": "x", "load": 1.5, "sides": sides}],
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    text = performance_table.performance(sorted(tmp_path.glob("*.json")))
    assert "a_new" in text and "b_old" not in text and "triton" not in text
    assert "| x | slow | 2000 (1 to 3000) | 1 |" in text and "|  | quick | 4 (3 to 5) | 500 |" in text
