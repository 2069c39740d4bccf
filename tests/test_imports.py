"""Who may import whom, and what importing the package must never need."""

from __future__ import annotations

import ast
import functools
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ns_talking"

# The table of the architecture: a part, and what its modules may import besides `utils` and their own neighbours.
MAY_IMPORT = {
    "scripts": {"*"},
    "demo": {"data.face_classes", "data.format", "data.landmarks", "data.subject", "audio"},
    "process": {"audio", "data.face_axes", "data.face_classes", "data.format", "data.landmarks", "metrics"},
    "export": {"methods.base", "fields", "data"},
    "doctor": {"audio", "data", "dataparsers", "driving", "metrics", "pipelines", "process"},
    "evaluation": {"audio", "data", "driving", "metrics", "pipelines", "process", "provenance", "rendering"},
    "viewer": {"driving", "audio", "data", "rendering", "pipelines", "provenance"},
    "methods": {
        "data",
        "dataparsers",
        "driving",
        "fields",
        "losses",
        "metrics",
        "modules",
        "pipelines",
        "rendering",
        "viewer",
    },
    "portable": {"data", "dataparsers", "driving", "methods.base", "pipelines", "provenance"},
    "pipelines": {"data", "driving", "provenance"},
    "dataparsers": {"data", "driving"},
    "data": {"driving"},
    "fields": {"modules", "kernels"},
    "modules": {"kernels"},
    "rendering": {"kernels", "fields.base"},  # fields.base is the protocol between the two, and imports neither.
    "losses": {"kernels"},
    "driving": {"audio"},
    "kernels": set(),
    "audio": set(),
    "metrics": {"audio", "data.landmarks"},
    "provenance": set(),
    "utils": set(),
    "__main__": {"scripts"},
}

ENTRY_MODULES = [
    "ns_talking.dataparsers.portrait",
    "ns_talking.dataparsers.ad_nerf",
    "ns_talking.methods.er_nerf",
    "ns_talking.methods.rad_nerf",
    "ns_talking.methods.er_nerf_pp",
    "ns_talking.methods.ssp_nerf",
    "ns_talking.methods.dfrf",
    "ns_talking.methods.ae_nerf",
    "ns_talking.dataparsers.identities",
]
"""What every command of Nerfstudio imports, whichever method it runs."""


def modules() -> list[str]:
    parts = [path.relative_to(PACKAGE.parent).with_suffix("").parts for path in sorted(PACKAGE.rglob("*.py"))]
    return [".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts]


def imported_parts(source: str) -> set[str]:
    """What a file imports of the package, without the leading `ns_talking.`, wherever the import stands.

    What stands under `if TYPE_CHECKING:` is left out: it names a type and is never imported.
    """
    found = set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("ns_talking.") for name in found if name.startswith("ns_talking.")}


def violations(part: str, path: str, source: str) -> list[str]:
    allowed = MAY_IMPORT[part] | {"utils", part}
    named = ", ".join(sorted(allowed - {part}))
    return [
        f"`{path}` imports `{name}`; {part} may import {named}"
        for name in sorted(imported_parts(source))
        if "*" not in allowed and not any(name == known or name.startswith(f"{known}.") for known in allowed)
    ]


def test_imports_point_downwards() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if relative != Path("__init__.py"):
            part = relative.with_suffix("").parts[0]
            assert part in MAY_IMPORT, f"`{relative}` is in no part of the architecture; add {part!r} to MAY_IMPORT"
            found += violations(part, relative.as_posix(), path.read_text())
    assert not found, "\n".join(found)


def test_a_wrong_import_is_named_with_what_is_allowed() -> None:
    source = "def late():\n    from ns_talking.data.format import Region\n"
    assert violations("fields", "fields/x.py", source) == [
        "`fields/x.py` imports `data.format.Region`; fields may import kernels, modules, utils"
    ]


def test_imports_are_absolute() -> None:
    relative = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert not relative


PREAMBLE = """
    import importlib, importlib.abc, importlib.metadata, os, socket, sys

    os.environ["CUDA_VISIBLE_DEVICES"] = ""

    def no_network(*_, **__):
        raise OSError("importing reached for the network")

    socket.socket.connect = socket.create_connection = socket.getaddrinfo = no_network

    # Nerfstudio alone, with all its methods: it finds no plugin while its own configurations are imported.
    import importlib_metadata

    find = importlib_metadata.entry_points, importlib.metadata.entry_points
    importlib_metadata.entry_points = lambda **_: importlib_metadata.EntryPoints()
    importlib.metadata.entry_points = lambda **_: importlib.metadata.EntryPoints()
    import nerfstudio.configs.method_configs, nerfstudio.scripts.train
    importlib_metadata.entry_points, importlib.metadata.entry_points = find

    assert not any(name.startswith("ns_talking") for name in sys.modules)

    class Broken(importlib.abc.MetaPathFinder):
        def __init__(self, names, error):
            self.names, self.error = names, error

        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in self.names:
                raise self.error(f"{name} is broken for this test")

    def break_packages(names, error):
        for name in list(sys.modules):
            if name.partition(".")[0] in names:
                del sys.modules[name]
        sys.meta_path.insert(0, Broken(names, error))
"""

SERVE = """
    import traceback
    from command_server import serve

    def execute(request):
        sys.argv = ["-c", *request["arguments"]]
        try:
            exec(request["program"], globals())
            return 0
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            sys.stdout.flush()

    serve(lambda: None, execute)
"""


def run(program: str, *arguments: str) -> str:
    """Run a program in a fork of one interpreter that has imported Nerfstudio, with neither GPU nor network."""
    with tempfile.NamedTemporaryFile("r", suffix=".log") as printed:
        request = {"program": textwrap.dedent(program), "arguments": arguments, "output": printed.name}
        server = _interpreter()
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        status = server.stdout.readline().strip()
        assert status == "0", Path(printed.name).read_text()[:3000]
        return Path(printed.name).read_text()


@functools.cache
def _interpreter() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PREAMBLE) + textwrap.dedent(SERVE)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(PACKAGE.parent)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_every_module_imports_without_gpu_network_and_optional_packages() -> None:
    # The twins for a compiler are the one place that may import it.
    names = [name for name in modules() if not name.startswith("ns_talking.kernels.triton.")]
    program = """
        break_packages({"triton", "mediapipe", "transformers", "face_alignment"}, ImportError)
        for name in sys.argv[1:]:
            importlib.import_module(name)
    """
    run(program, *names)


def test_a_broken_optional_package_does_not_break_the_other_methods() -> None:
    # A package that does not fit its compiled parts raises anything at all, not ImportError alone.
    program = """
        names = {"triton", "mediapipe", "transformers", "numba", "face_alignment", "matplotlib", "av"}
        break_packages(names, RuntimeError)
        for name in sys.argv[1:]:
            importlib.import_module(name)
    """
    run(program, *ENTRY_MODULES)


def test_the_entry_modules_import_no_module_of_others_that_nerfstudio_did_not() -> None:
    # Seconds are measured by benchmarks/imports.py; what would make them many is another package.
    program = """
        before = set(sys.modules)
        for name in sys.argv[1:]:
            importlib.import_module(name)
        print(*(name for name in set(sys.modules) - before if name.partition(".")[0] != "ns_talking"))
    """
    others = run(program, *ENTRY_MODULES).split()
    assert not others, f"importing the entry modules imports {', '.join(sorted(others))}"
