"""The command `ns-talking VERB ...`: finds the verb, parses its arguments with tyro, turns errors into one line."""

from __future__ import annotations

import difflib
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from ns_talking.utils.plain_errors import INTERRUPTED, PLAIN, explain, report, tracebacks_wanted
from ns_talking.utils.progress import CONSOLE
from ns_talking.utils.registry import lookup


class Verb(NamedTuple):
    """Where a verb's dataclass is, and what the list of verbs says about it."""

    target: str
    summary: str


VERBS = {
    "process": Verb("ns_talking.scripts.process:Process", "Turn a video of one speaker into a dataset to train on."),
    "render": Verb("ns_talking.scripts.render:Render", "Render a trained portrait speaking any audio, as an mp4."),
    "pack": Verb("ns_talking.scripts.pack:Pack", "Put a trained portrait into one file that renders anywhere."),
    "unpack": Verb("ns_talking.scripts.pack:Unpack", "Take such a file apart: settings, tracks, pictures, weights."),
    "camera-path": Verb(
        "ns_talking.scripts.camera_path:CameraPath", "Write a camera path with sound, for ns-render camera-path."
    ),
    "evaluate": Verb(
        "ns_talking.scripts.evaluate:Evaluate", "Measure trained portraits, and make a page to judge them by."
    ),
    "doctor": Verb("ns_talking.scripts.doctor:Doctor", "Check the installation, a dataset or a training."),
    "verify": Verb(
        "ns_talking.scripts.verify:Verify", "Tell whether an mp4 is marked as synthetic and unchanged since."
    ),
    "demo": Verb("ns_talking.scripts.demo:Demo", "Make a procedural talking head, train on it and render it."),
    "export": Verb("ns_talking.scripts.export:Export", "Write a dataset in the layout that other tools read."),
    "reproduce": Verb(
        "ns_talking.scripts.reproduce:Reproduce", "Print an experiment, or run it and compare with its numbers."
    ),
}
"""Every verb is a dataclass with a method `main()`, which may return an exit status; its fields are the options."""

_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit with its status.

    Args:
        arguments: What stands behind `ns-talking` on the command line; None takes the process's own.
    """
    # Threads that spin while they wait take the cores from whatever else runs: beside other work two threads multiply
    # matrices ten times slower than one. OpenMP reads this when PyTorch is imported, by a verb or a command it starts.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(_status(list(sys.argv[1:] if arguments is None else arguments)))


_GO_ON = ("evaluate", "reproduce")
"""Verbs that keep what they finished and leave it to this file to say so."""


def _status(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        _list_verbs()
        return 0
    if arguments[0] in ("-V", "--version"):
        CONSOLE.print(f"ns-talking {importlib.metadata.version('ns-talking')}", highlight=False)
        return 0
    name, *options = arguments
    if name not in VERBS:
        near = difflib.get_close_matches(name, VERBS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        report(f"ns-talking has no verb {name!r}.{hint} Known: {', '.join(VERBS)}.")
        return _USAGE
    if tracebacks_wanted():
        return _run(name, options)
    try:
        return _run(name, options)
    except KeyboardInterrupt as interruption:
        kept = " What it finished is kept: the same command goes on from there." if name in _GO_ON else ""
        report(str(interruption) or f"ns-talking {name} was interrupted.{kept}")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, for example `head`, has gone: nothing is left to say, and the interpreter's own last flush of
        # standard output must not fail on it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except PLAIN as error:
        report(explain(error))
        return 1


def _run(name: str, options: list[str]) -> int:
    """Run a verb; most return nothing, which is success."""
    # tyro takes a moment to import, which the list of verbs need not wait for.
    import tyro

    verb = lookup({known: verb.target for known, verb in VERBS.items()}, name, "verbs")
    return tyro.cli(verb, prog=f"ns-talking {name}", args=options).main() or 0


def _list_verbs() -> None:
    CONSOLE.print("ns-talking VERB [OPTIONS]   talking portraits for Nerfstudio\n", highlight=False)
    table = Table.grid(padding=(0, 2))
    for name, verb in VERBS.items():
        table.add_row(f"  {name}", verb.summary)
    CONSOLE.print(table, highlight=False)
    CONSOLE.print(
        "\nns-talking VERB --help lists a verb's options.\n"
        "ns-train er-nerf --data DATASET trains on a processed dataset.\n"
        "NS_TALKING_DEBUG=1 in front of a command shows where an error comes from.",
        highlight=False,
    )
