"""Means and spreads, demands, and what stands in tables."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from ns_talking.evaluation.comparison import Spread, compared
from ns_talking.evaluation.demands import judge
from ns_talking.evaluation.protocol import Demand, Protocol, RowName
from ns_talking.evaluation.record import RowRecord, RunRecord
from ns_talking.evaluation.tables import best_rows, console_tables, missing_reasons, number, parts_of, spread_text
from ns_talking.metrics import METRICS
from ns_talking.metrics.base import Figure
from ns_talking.utils.registry import lookup

FIGURE = Figure("lmd", "LMD", "px", "lower", "Distance.")


def run(value: float, seed: int = 0, dataset: str = "a", settings: str = "s") -> RunRecord:
    rows = [RowRecord("real", "real", missing={"lmd": "reference"}), RowRecord("model", "portrait", {"lmd": value})]
    return RunRecord(f"{dataset}/er-nerf/{seed}", "er-nerf", dataset, settings, seed, "quick", "t", [FIGURE], rows)


def test_seeds_of_one_dataset_give_mean_and_deviation() -> None:
    (group,) = compared([run(1.0, 0), run(2.0, 1), run(3.0, 2)])
    assert group.values["model"]["lmd"] == Spread(2.0, 1.0, 3)
    assert group.seeds == (0, 1, 2) and group.datasets == ("a",)


def test_a_dataset_with_more_seeds_does_not_weigh_more() -> None:
    (group,) = compared([run(1.0, 0), run(1.0, 1), run(1.0, 2), run(3.0, 0, "b")])
    assert group.values["model"]["lmd"].mean == 2.0
    assert group.values["model"]["lmd"].deviation == pytest.approx(2**0.5)


def test_other_settings_are_another_group() -> None:
    groups = compared([run(1.0), run(2.0, settings="t")])
    assert [group.values["model"]["lmd"] for group in groups] == [Spread(1.0, None, 1), Spread(2.0, None, 1)]


def test_the_best_is_that_of_the_rows_that_compete() -> None:
    rows = [RowRecord("real", "", {"lmd": 0.0}), RowRecord("model", "", {"lmd": 2.0}), RowRecord("x", "", {"lmd": 3.0})]
    assert best_rows(FIGURE, rows) == {"model"}
    higher, none = Figure("lmd", "", "", "higher", ""), Figure("lmd", "", "", "neither", "")
    assert best_rows(higher, rows) == {"x"} and best_rows(none, rows) == set()
    near = Figure("lmd", "", "", "nearer 1", "")
    assert best_rows(near, [RowRecord("a", "", {"lmd": 0.9}), RowRecord("b", "", {"lmd": 1.2})]) == {"a"}


def test_every_figure_of_every_metric_has_its_table() -> None:
    figures = [figure for name in METRICS for figure in lookup(METRICS, name, "metrics").figures]
    parts = parts_of(figures)
    assert "Other" not in parts
    assert sum(map(len, parts.values())) == len(figures)


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1234"), (29.061, "29.06"), (0.4567, "0.457"), (0.00123, "0.00123"), (0.0, "0.000")]
)
def test_numbers_keep_three_digits_or_four(value: float, text: str) -> None:
    assert number(value) == text


def test_a_deviation_stands_behind_its_mean() -> None:
    assert spread_text(Spread(1.5, 0.25, 3)) == "1.500 ± 0.250"
    assert spread_text(Spread(1.5, None, 1)) == "1.500" and spread_text(None) == "-"


def protocol(*demands: Demand) -> Protocol:
    return Protocol("p", "t", "self-reenactment", (RowName("model"),), ("lmd",), demands)


ROWS = [
    RowRecord("model", "", {"lmd": 1.7}),
    RowRecord("shifted", "", {"lmd": 2.0}),
    RowRecord("silenced", "", {"lmd": -1.8}),
    RowRecord("real", "", missing={"lmd": "reference"}),
]


@pytest.mark.parametrize(
    ("demand", "value", "met"),
    [
        (Demand("lmd", ("model",), at_most=1.8), 1.7, True),
        (Demand("lmd", ("model",), at_least=1.8), 1.7, False),
        (Demand("lmd", ("model",), minus=("shifted",), at_most=0.0), -0.3, True),
        (Demand("lmd", ("model",), minus=("shifted", "silenced"), at_most=0.0), 3.5, False),
        (Demand("lmd", ("shifted", "silenced"), absolute=True, at_most=1.9), 2.0, False),
        (Demand("lmd", ("real",), at_most=1.9), None, False),
    ],
)
def test_a_demand_is_judged_by_its_worst_value(demand: Demand, value: float | None, met: bool) -> None:
    (found,) = judge(protocol(demand), ROWS)
    assert found.value == (None if value is None else pytest.approx(value)) and found.met is met


def test_a_demand_reads_like_a_sentence() -> None:
    (found,) = judge(protocol(Demand("lmd", ("model",), minus=("shifted", "silenced"), at_most=0.0)), ROWS)
    assert found.text == "LMD: model - each of shifted, silenced <= 0 px"


def test_the_console_shows_values_demands_and_reasons() -> None:
    record = run(1.7)
    console = Console(width=120, record=True, file=StringIO())
    for table in console_tables(record):
        console.print(table)
    text = console.export_text()
    assert "LMD px" in text and "1.700" in text
    assert missing_reasons(record) == {}
