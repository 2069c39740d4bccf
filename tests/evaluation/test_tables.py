"""Means and spreads, demands, and what stands in tables."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from ns_talking.evaluation.comparison import Spread, compared, joined
from ns_talking.evaluation.comparison_tables import html_comparison, spread_text
from ns_talking.evaluation.demands import judge
from ns_talking.evaluation.protocol import Demand, Protocol, RowName
from ns_talking.evaluation.record import RowRecord, RunRecord
from ns_talking.evaluation.tables import (
    HEADLINES,
    best_rows,
    console_tables,
    faceless_rows,
    missing_reasons,
    number,
    parts_of,
)
from ns_talking.evaluation.voices import over_voices, shown_row
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


def test_a_group_is_called_by_its_method_whatever_datasets_it_covers() -> None:
    (group,) = compared([run(1.0, 0, "short"), run(2.0, 0, "long"), run(2.0, 1, "long")])
    assert group.label == "er-nerf"
    labels = [each.label for each in compared([run(1.0), replace(run(1.0), method="er-nerf++")])]
    assert labels == ["er-nerf", "er-nerf++"]


@pytest.mark.parametrize(
    ("runs", "labels"),
    [
        ([run(1.0, 0, "a"), run(1.0, 1, "a"), run(1.0, 0, "b", "t")], ["er-nerf, a", "er-nerf, b"]),
        ([run(1.0, 0, "a"), run(1.0, 1, "a"), run(1.0, 2, "a", "t")], ["er-nerf, 0, 1", "er-nerf, 2"]),
        ([run(1.0, 0, "a"), run(1.0, 0, "a", "t")], ["er-nerf, settings s", "er-nerf, settings t"]),
    ],
)
def test_groups_of_one_method_are_called_by_what_tells_them_apart(runs: list[RunRecord], labels: list[str]) -> None:
    assert [group.label for group in compared(runs)] == labels


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
    assert "LMD" in text and "1.700" in text
    assert missing_reasons(record) == {}


@pytest.mark.parametrize("width", [50, 80, 200])
def test_no_table_is_wider_than_the_console_and_no_figure_is_lost(width: int) -> None:
    figures = [figure for name in METRICS for figure in lookup(METRICS, name, "metrics").figures]
    rows = [RowRecord(name, name, dict.fromkeys(HEADLINES, 0.00123)) for name in ("real", "model@real-torso")]
    record = replace(run(1.0), figures=figures, rows=rows)
    console = Console(file=StringIO(), width=width)
    for table in console_tables(record, width):
        console.print(table)
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    # What does not fit would be cut off with an ellipsis, or go on in the next line.
    assert "…" not in text
    assert text.count("0.00123") == 2 * len(HEADLINES)
    known = {figure.key: figure.label for figure in figures}
    assert all(known[key] in text for key in HEADLINES)


def test_a_comparison_carries_real_frames_and_baselines_once_and_wrong_sound_for_every_training() -> None:
    def with_all(value: float, settings: str) -> RunRecord:
        rows = [
            RowRecord("real", "real frames", missing={"lmd": "reference"}),
            RowRecord("mean-face", "mean face", {"lmd": 3.0}),
            RowRecord("model", "portrait", {"lmd": value}),
            RowRecord("shifted", "sound shifted", {"lmd": value + 0.5}),
        ]
        return replace(run(value, settings=settings), rows=rows)

    runs = [with_all(1.0, "s"), with_all(2.0, "t")]
    text = html_comparison(compared(runs), joined(runs), [FIGURE], runs[0].rows, "model")
    lines = re.findall(r"<tr[^>]*><td>(.*?)</td>.*?</tr>", text)
    assert lines[:2] == ["real frames", "mean face"]
    assert [line.split(": ")[1] for line in lines[2:]] == ["portrait", "sound shifted"] * 2
    assert re.findall(r'best">([^<]*)<', text) == ["1.000"]


def test_frames_without_a_face_are_counted_for_each_row() -> None:
    rows = [RowRecord("real", "", num_frames=9), RowRecord("model", "", num_frames=9, faces_missed=2)]
    assert faceless_rows(replace(run(1.0), rows=rows)) == ["No face was found in 2 of 9 frames of the row 'model'."]


def test_voices_count_the_same_and_one_that_lacks_a_figure_is_said() -> None:
    rows = [
        RowRecord("a.wav: model", "a.wav: portrait", {"lmd": 1.0, "jitter": 1.0}, num_frames=5),
        RowRecord(
            "b.wav: model", "b.wav: portrait", {"lmd": 3.0}, {"jitter": "no face", "fid": "no file"}, num_frames=9
        ),
    ]
    (mean,) = over_voices(rows)
    assert (mean.name, mean.label) == ("all voices: model", "all voices: portrait")
    assert mean.values == {"lmd": 2.0, "jitter": 1.0} and mean.missing == {"fid": "no file"}
    assert mean.notes == {"lmd": "mean over 2 of 2 voices, from 1 to 3", "jitter": "mean over 1 of 2 voices"}
    assert mean.num_frames == 14
    assert over_voices(rows[:1]) == []


def test_trainings_are_compared_by_the_row_of_the_protocol_over_all_voices() -> None:
    def names(*given: str) -> RunRecord:
        return replace(run(1.0), rows=[RowRecord(name, name) for name in given])

    assert shown_row(names("real", "model", "shifted"), "model") == "model"
    assert shown_row(names("real", "a: model", "a: silenced"), "model") == "a: model"
    assert shown_row(names("real", "a: model", "b: model", "all voices: model"), "model") == "all voices: model"
    assert shown_row(names("real", "shifted"), "model") == "shifted"


def test_the_best_is_told_for_each_voice() -> None:
    rows = [
        RowRecord(f"{voice}: {row}", "", {"lmd": value})
        for voice, row, value in (
            ("a", "model", 2.0),
            ("a", "silenced", 3.0),
            ("b", "model", 0.5),
            ("b", "silenced", 0.4),
        )
    ]
    assert best_rows(FIGURE, rows) == {"a: model", "b: silenced"}
