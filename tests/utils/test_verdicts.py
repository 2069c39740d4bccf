"""What checks say is printed whole, whatever it contains and however narrow the console is."""

from __future__ import annotations

import io

from rich.console import Console

from ns_talking.utils.verdicts import Verdict, verdict_table


def printed(verdicts: list[Verdict], width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(verdict_table(verdicts))
    return stream.getvalue()


def test_nothing_is_cut_off_in_a_narrow_console() -> None:
    name, address = "weights-inception-2015-12-05-6726825d.pth", "https://pytorch.org/get-started/locally-and-so-on"
    verdicts = [
        Verdict(name, "pass", "/a/folder/with/a/very/long/path/to/models", "", ""),
        Verdict("GPU", "warn", "none", "", f"install a driver ({address})"),
    ]
    text = printed(verdicts, 80)
    assert "…" not in text
    columns = [line.split("│") for line in text.splitlines() if "│" in line]
    whole = ["".join(column[number].strip() for column in columns) for number in range(4)]
    assert name in whole[0] and "/a/folder/with/a/very/long/path/to/models" in whole[2] and address in whole[3]


def test_brackets_are_text() -> None:
    assert "/data/[red]me[/red]" in printed([Verdict("files", "pass", "/data/[red]me[/red]", "", "")], 100)
