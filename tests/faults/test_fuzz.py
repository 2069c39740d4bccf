"""Damaged files are refused by name, without crashes, hangs or gluttony; `make torture` damages more of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from commands import command_environment

ROOT = Path(__file__).parents[2]


def test_damaged_files_of_every_kind_are_refused_by_name() -> None:
    command = [sys.executable, ROOT / "benchmarks/torture.py", "fuzz", "--files", "320", "--seed", "7", "--no-record"]
    done = subprocess.run(command, env=command_environment(), capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    assert "transforms.json: " in done.stdout and "refused" in done.stdout
