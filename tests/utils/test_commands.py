"""Commands are those of this environment, and their failure is an error."""

from __future__ import annotations

import sys

import pytest

from ns_talking.utils import commands


def test_commands_are_those_of_this_environment() -> None:
    found = commands.resolved(["ns-talking", "render", "--help"])
    assert found == [sys.executable, "-m", "ns_talking", "render", "--help"]
    assert commands.resolved(["ns-train", "er-nerf"])[-1] == "er-nerf"
    assert commands.resolved(["python", "x.py"]) == [sys.executable, "x.py"]


def test_another_command_is_refused() -> None:
    with pytest.raises(ValueError, match="no command 'rm' to run. Known: ns-train"):
        commands.resolved(["rm", "-r"])


def test_a_command_that_fails_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"`python -c` failed with status 3"):
        commands.run(["python", "-c", "raise SystemExit(3)"])
    assert capsys.readouterr().out.startswith("$ python -c")
