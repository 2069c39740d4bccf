"""Laws of processes with limits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ns_talking.utils.limits import run_limited

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")

    def write(body: str) -> str:
        lines = ["import sys", "from ns_talking.utils.limits import limit_resources", "limit_resources()", body]
        (tmp_path / "limited.py").write_text("\n".join(lines))
        return "limited"

    return write


def test_what_it_prints_comes_back(module) -> None:
    assert run_limited(module("print(sys.argv[1])"), "told") == "told\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.stderr.write('noise\\nThe file is odd.\\n'); sys.exit(1)", "The file is odd."),
        ("x = bytearray(4 << 30)", "MemoryError"),
        ("import os; os.kill(os.getpid(), 11)", "the decoder crashed"),
        ("import time; time.sleep(60)", "took more than 2 s"),
    ],
)
def test_what_goes_wrong_is_told(module, body: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_limited(module(body), timeout_s=2.0 if "sleep" in body else 60.0)
