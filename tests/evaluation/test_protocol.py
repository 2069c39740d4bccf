from __future__ import annotations

from pathlib import Path

import pytest

from ns_talking.evaluation import LABELS, ROWS
from ns_talking.evaluation.protocol import RowName, protocol_names, read_protocol


def test_every_row_has_a_label() -> None:
    assert set(LABELS) == set(ROWS)


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_of_the_package_is_understood(name: str) -> None:
    protocol = read_protocol(name)
    assert protocol.rows and protocol.metrics and protocol.title
    keys = [figure.key for figure in protocol.figures]
    assert all(demand.figure in keys for demand in protocol.demands)


def test_the_usual_protocol_carries_what_a_value_is_judged_by() -> None:
    rows = {str(row) for row in read_protocol("self-reenactment").rows}
    assert rows >= {"real", "re-encoded", "mean-frame", "nearest-pose", "nearest-sound", "mean-face"}
    assert rows >= {"model", "shifted", "shuffled", "silenced"}


def test_a_row_says_which_torso_it_lies_over() -> None:
    row = RowName.parse("shifted@real-torso")
    assert (row.base, row.torso, str(row)) == ("shifted", "real", "shifted@real-torso")
    assert row.label == "portrait, sound shifted 2 s, over the real torso"


def test_a_slip_of_the_pen_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="Did you mean 'self-reenactment'"):
        read_protocol("self-reenactmen")
    with pytest.raises(FileNotFoundError, match="There is no protocol"):
        read_protocol("mine.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows: [real", "is not YAML"),
        ("metrics: [psnr]", "no list `rows`"),
        ("{rows: [real], metric: [psnr]}", "says 'metric', which protocols do not know"),
        ("{rows: [reel]}", "Did you mean 'real'"),
        ("{rows: [real], metrics: [psnrr]}", "Did you mean 'psnr'"),
        ("{rows: [real], kind: guess}", "of the kind 'guess'"),
        ("{rows: [real], metrics: [psnr], demands: [{figure: psnr}]}", "names row, figure"),
        ("{rows: [real], metrics: [psnr], demands: [{row: real, figure: psnr}]}", "neither or both"),
        ("{rows: [real], metrics: [psnr], demands: [{row: model, figure: psnr, at_least: 1}]}", "the row 'model'"),
        ("{rows: [real], metrics: [psnr], demands: [{row: real, figure: ssim, at_least: 1}]}", "the figure 'ssim'"),
    ],
)
def test_what_is_not_understood_is_said(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_protocol(str(tmp_path / "mine.yaml"))
