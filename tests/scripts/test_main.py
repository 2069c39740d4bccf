from __future__ import annotations

import dataclasses
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ns_talking.scripts.main import VERBS, main


def ns_talking(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ns_talking", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def status_of(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    return exit_info.value.code


@pytest.fixture
def failing_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Replace a verb, `demo` unless told otherwise, by one whose `main` runs the given statement."""

    def replace(statement: str, verb: str = "demo") -> None:
        module = tmp_path / "failing_verb.py"
        module.write_text(
            "import errno, signal, os, sys\n"
            "from dataclasses import dataclass\n"
            "@dataclass\n"
            "class Demo:\n"
            "    count: int = 1\n"
            "    def main(self) -> None:\n"
            f"        {statement}\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "failing_verb", raising=False)
        monkeypatch.setitem(VERBS, verb, VERBS[verb]._replace(target="failing_verb:Demo"))

    return replace


@pytest.mark.parametrize(("own", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(
    own: str | None, expected: str, failing_verb, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", own or "")
    if own is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    failing_verb("print(os.environ['OMP_WAIT_POLICY'])")
    assert status_of("demo") == 0
    assert capsys.readouterr().out.strip() == expected


def test_every_verb_is_a_dataclass_with_main() -> None:
    for verb in VERBS.values():
        module, attribute = verb.target.split(":")
        found = getattr(importlib.import_module(module), attribute)
        assert dataclasses.is_dataclass(found), verb.target
        assert callable(getattr(found, "main", None)), verb.target


def test_the_list_of_verbs_says_what_each_does() -> None:
    for arguments in ((), ("--help",)):
        shown = ns_talking(*arguments)
        assert shown.returncode == 0, shown.stderr
        for name, verb in VERBS.items():
            assert name in shown.stdout
            assert verb.summary in shown.stdout


def test_the_list_of_verbs_imports_neither_torch_nor_nerfstudio() -> None:
    program = (
        "import sys\nfrom ns_talking.scripts.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(str({'torch', 'nerfstudio', 'numpy', 'tyro'} & set(sys.modules) or ''))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert shown.stderr.strip() == ""


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_every_verb_shows_its_options(name: str) -> None:
    shown = ns_talking(name, "--help")
    assert shown.returncode == 0, shown.stderr
    assert f"usage: ns-talking {name}" in shown.stdout


def test_version() -> None:
    shown = ns_talking("--version")
    assert shown.returncode == 0
    assert shown.stdout.startswith("ns-talking 0.")


def test_an_unknown_verb_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("rendr") == 2
    message = capsys.readouterr().err
    assert "Did you mean 'render'?" in message
    assert "process" in message


def test_an_unknown_option_exits_with_2(failing_verb) -> None:
    failing_verb("pass")
    assert status_of("demo", "--no-such-option") == 2


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("raise ValueError('The clip has no [audio] track. Film again.')", "Error: The clip has no [audio] track."),
        ("open('absent.mp4')", "Error: There is no file absent.mp4."),
        ("raise FileNotFoundError('No model here. Fetch it.')", "Error: No model here. Fetch it."),
        ("import no_such_package", "Error: No module named 'no_such_package'"),
        (
            "raise OSError(errno.ENOSPC, 'No space left on device', 'out.mp4')",
            "Error: The disk is full while writing out.mp4",
        ),
        ("raise PermissionError(errno.EACCES, 'Permission denied', '/out')", "Error: No permission to use /out."),
        ("raise ValueError", "Error: ValueError"),
    ],
)
def test_an_error_is_one_line_without_a_traceback(
    statement: str, message: str, failing_verb, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_verb(statement)
    assert status_of("demo") == 1
    shown = capsys.readouterr()
    assert message in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert "Traceback" not in shown.err + shown.out


def test_a_fault_of_our_own_keeps_its_traceback(failing_verb) -> None:
    failing_verb("raise RuntimeError('broken')")
    with pytest.raises(RuntimeError, match="broken"):
        main(["demo"])


def test_debugging_shows_the_traceback(failing_verb, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_verb("raise ValueError('shown')")
    monkeypatch.setenv("NS_TALKING_DEBUG", "1")
    with pytest.raises(ValueError, match="shown"):
        main(["demo"])


@pytest.mark.parametrize(("verb", "said"), [("demo", "demo was interrupted."), ("evaluate", "same command goes on")])
def test_ctrl_c_exits_with_130(failing_verb, verb: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    failing_verb("os.kill(os.getpid(), signal.SIGINT)", verb)
    # A shell starts background jobs with the signal ignored, and the tests may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert status_of(verb) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert said in " ".join(capsys.readouterr().err.split())
