"""The command `ns-talking VERB ...`: finds the verb, parses its arguments with tyro, turns errors into one line."""

from __future__ import annotations

import difflib
import errno
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ns_talking.utils.progress import CONSOLE
from ns_talking.utils.registry import lookup


class Verb(NamedTuple):
    """Where a verb's dataclass is, and what the list of verbs says about it."""

    target: str
    summary: str


VERBS = {
    "process": Verb("ns_talking.scripts.process:Process", "Turn a video of one speaker into a dataset to train on."),
    "render": Verb("ns_talking.scripts.render:Render", "Render a trained portrait speaking any audio, as an mp4."),
    "demo": Verb("ns_talking.scripts.demo:Demo", "Make a procedural talking head, train on it and render it."),
    "export": Verb("ns_talking.scripts.export:Export", "Write a dataset in the layout that other tools read."),
}
"""Every verb is a dataclass with a method `main()`; its fields are the options."""

_INTERRUPTED = 130  # What shells report for a process that ended by Ctrl-C: 128 + SIGINT.
_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit with its status.

    Args:
        arguments: What stands behind `ns-talking` on the command line; None takes the process's own.
    """
    sys.exit(_status(list(sys.argv[1:] if arguments is None else arguments)))


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
        _report(f"ns-talking has no verb {name!r}.{hint} Known: {', '.join(VERBS)}.")
        return _USAGE
    if os.environ.get("NS_TALKING_DEBUG", "0") not in ("", "0"):
        _run(name, options)
        return 0
    try:
        _run(name, options)
    except KeyboardInterrupt:
        _report(f"ns-talking {name} was interrupted.")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader, for example `head`, has gone: nothing is left to say, and the interpreter's own last flush of
        # standard output must not fail on it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, ImportError, OSError) as error:
        _report(_explain(error))
        return 1
    return 0


def _run(name: str, options: list[str]) -> None:
    # tyro takes a moment to import, which the list of verbs need not wait for.
    import tyro

    verb = lookup({known: verb.target for known, verb in VERBS.items()}, name, "verbs")
    tyro.cli(verb, prog=f"ns-talking {name}", args=options).main()


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


def _explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        place = f" while writing {error.filename}" if error.filename else ""
        return f"The disk is full{place}. Free some space or choose another output folder, then run the command again."
    if isinstance(error, PermissionError) and error.filename:
        return f"No permission to use {error.filename}. Choose another place or change its permissions."
    if isinstance(error, FileNotFoundError) and error.filename and error.errno == errno.ENOENT:
        return f"There is no file {error.filename}. Check the path."
    return str(error) or type(error).__name__


def _report(message: str) -> None:
    # Text, not markup: a path may contain square brackets. Standard error, so that output can be piped on.
    Console(stderr=True).print(Text.assemble(("Error: ", "bold red"), (message, "red")), soft_wrap=True)
