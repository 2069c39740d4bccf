"""The README's table of speed, made from the records of `kernels.py` and `methods.py`.

```
python benchmarks/performance_table.py           # prints the table
python benchmarks/performance_table.py --write   # puts it into README.md
```

Of every device the newest record counts. Where there is none the README says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from results_table import inserted
from timing import FORMAT, RESULTS, ROOT
from yardstick import on_reference

MARKS = "<!-- performance: python benchmarks/performance_table.py --write -->", "<!-- end of performance -->"
UNMEASURED = "No record yet: `make bench` makes one of this machine."


@dataclass
class PerformanceTable:
    """Print the table of speed, or put it into the README."""

    write: bool = False
    """Replace what stands between the marks in README.md."""

    def main(self) -> None:
        """Make the table."""
        text = performance(sorted(RESULTS.glob("*.json")))
        if not self.write:
            print(text)
            return
        readme = ROOT / "README.md"
        readme.write_text(inserted(readme.read_text(encoding="utf-8"), text, MARKS), encoding="utf-8")
        print(f"Wrote {readme}")


def performance(files: list[Path]) -> str:
    """Make one table per device; files that are no record of times are left out."""
    newest: dict[str, dict[str, Any]] = {}  # Any: a record's JSON.
    for path in files:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("format") == FORMAT and record["date"] > newest.get(record["device"], {"date": ""})["date"]:
            newest[record["device"]] = record
    return "\n\n".join(table(record) for _, record in sorted(newest.items())) or UNMEASURED


def table(record: dict[str, Any]) -> str:
    """Make the table of one device: medians, and how much faster each way is than the first of its case.

    Where the yardstick was measured beside them, a column says what the machine of the targets would need.
    """
    compared = any("yardstick_ms" in case for case in record["cases"])
    load = max(case["load"] for case in record["cases"])
    versions = ", ".join(f"{name} {record[name]}" for name in ("torch", "triton", "numba") if record[name])
    threads = "thread" if record["threads"] == 1 else "threads"
    clock = "" if record["clock"] == "wall" else f", {record['clock']} time"
    lines = [
        f"**{record['device']}**, {record['threads']} {threads}{clock}, {versions}, commit {record['commit']}; load of "
        f"the machine up to {load:g}.",
        "",
        f"| what | how | median (20 to 80 %), ms | gain |{' on the machine of the targets, ms |' if compared else ''}",
        f"| --- | --- | --- | --- |{' --- |' if compared else ''}",
    ]
    for case in record["cases"]:
        first = next(iter(case["sides"].values()))["median_ms"]
        for index, (side, row) in enumerate(case["sides"].items()):
            spread = f"{_short(row['median_ms'])} ({_short(row['p20_ms'])} to {_short(row['p80_ms'])})"
            gain = "1" if index == 0 else _short(first / row["median_ms"])
            cells = [case["case"] if index == 0 else "", side, spread, gain]
            if compared:
                measured = "yardstick_ms" in case
                cells.append(_short(on_reference(row["median_ms"], case["yardstick_ms"])) if measured else "-")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    """Three digits are more than such figures are worth."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


if __name__ == "__main__":
    tyro.cli(PerformanceTable).main()
