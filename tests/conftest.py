"""What every test runs under: checked array shapes, no network, few threads, and a reason for every skip."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
import torch
from jaxtyping import install_import_hook

# Triton reads this when a kernel is defined, so it has to be set before any test imports one.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

# beartype checks every annotated array of the package while the tests run. Decorators go below a function's own ones,
# where they would hide the body from Numba's and Triton's compilers, so those two folders stay unchecked.
_UNCHECKED = {"ns_talking.kernels.numba", "ns_talking.kernels.triton"}
_PACKAGE = Path(__file__).parents[1] / "ns_talking"


def _checked_modules() -> list[str]:
    kernels = _PACKAGE / "kernels"
    names = [
        ".".join((*folder.relative_to(_PACKAGE.parent).parts, entry.stem))
        for folder in (_PACKAGE, kernels)
        if folder.is_dir()
        for entry in sorted(folder.iterdir())
        if entry != kernels and not entry.name.startswith("_") and (entry.is_dir() or entry.suffix == ".py")
    ]
    return [name for name in names if name not in _UNCHECKED]


install_import_hook(_checked_modules(), "beartype.beartype")

from ns_talking.utils import heap  # noqa: E402 - checked like the others

if "PYTEST_XDIST_WORKER" in os.environ:
    # For each of the methods it knows Nerfstudio looks up the modules of the whole stack, which takes a quarter of the
    # time of collecting under pytest's. A thread has a stack of its own.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(importlib.import_module, "nerfstudio.configs.method_configs").result()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the clips, speech and models that tests on real input need."""
    folder = Path(os.environ.get("NS_TALKING_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"there is no folder {folder} with clips and models; NS_TALKING_SHARED names one")
    return folder.resolve()


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports scripts of `benchmarks`, which are no part of the package; they are forgotten with the test."""
    folder = _PACKAGE.parent / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module
    # By their files: folders of tests have some of the same names.
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").parent == folder:
            del sys.modules[name]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """config.yml of a tiny portrait that the real commands trained; nobody may change what lies around it.

    Processes that share out the tests share it: the first one trains, the others wait.
    """
    from commands import trained_portrait

    if os.name == "nt" or "PYTEST_XDIST_WORKER" not in os.environ:
        return trained_portrait(tmp_path_factory.mktemp("trained"))
    import fcntl

    folder = tmp_path_factory.getbasetemp().parent / "trained"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "config"
        if not done.exists():
            done.write_text(str(trained_portrait(folder)))
        return Path(done.read_text())


_LONGEST = (
    "test_end_to_end.py",
    "methods/test_methods.py",
    "viewer/test_page.py",
    "faults/test_kill.py",
    "kernels/test_builds.py",
    "kernels/test_encodings.py",
    "pipelines/test_trainer.py",
    "evaluation/test_runner.py",
    "pipelines/test_render_hook.py",
)
"""Files that take longest, the longest first."""


def pytest_configure(config: pytest.Config) -> None:
    """Keep the order of `pytest_collection_modifyitems`, where xdist would begin with the files of most tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, and skip what needs a GPU where there is none.

    Processes then end together, and while the first file trains the portrait that several share, no other waits for it.
    """
    here = Path(__file__).parent
    order = {here / name: at for at, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
    if not any("gpu" in item.keywords for item in items):
        return
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the certificates of tests out of the user's settings, and the user's out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NS_TALKING_CONFIG", str(tmp_path_factory.mktemp("settings")))
        for name in ("NS_TALKING_CERTIFICATE", "NS_TALKING_PRIVATE_KEY"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _code_stays_in_memory() -> Iterator[None]:
    """Let pipelines keep the code of libraries, which a test after the other would read again; commands drop it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heap, "_MAPS", Path("/nowhere"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Refuse connections to anywhere but this machine, so that no test depends on a download."""
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if self.family == getattr(socket, "AF_UNIX", None) or host in ("127.0.0.1", "::1", "localhost"):
            return connect(self, address)  # pyright: ignore[reportArgumentType] # the caller's own address
        raise OSError(f"a test tried to reach {address}; tests run without a network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        yield
