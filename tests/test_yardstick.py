"""Times here are converted by how fast the same work is on the machine that targets were set on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.triplane_encoding import triplane_encoding


@pytest.fixture
def modules(benchmark_module: Callable[[str], ModuleType]) -> tuple[ModuleType, ModuleType]:
    """`yardstick` and `seconds`."""
    return benchmark_module("yardstick"), benchmark_module("seconds")


class Steady:
    """A yardstick that is always the same."""

    def __init__(self, milliseconds: float) -> None:
        self.milliseconds = milliseconds
        self.looks = 0

    def look(self) -> float:
        self.looks += 1
        return self.milliseconds


def test_the_yardstick_is_the_encoding(modules: tuple[ModuleType, ModuleType]) -> None:
    geometry = GridGeometry(2, 3, 2, 16, 64, 8, "hash")
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(50, 3, generator=generator)
    tables = torch.rand(3, geometry.num_entries, 2, generator=generator)
    expected = triplane_encoding.reference(points, tables, geometry)
    torch.testing.assert_close(modules[0].looped_encoding(points, tables, geometry), expected)


def test_a_look_leaves_the_threads_as_they_were(modules: tuple[ModuleType, ModuleType]) -> None:
    before = torch.get_num_threads()
    assert modules[0].Yardstick(before + 1).look() > 0
    assert torch.get_num_threads() == before


def test_a_machine_of_half_the_speed_is_told_half_of_its_seconds(modules: tuple[ModuleType, ModuleType]) -> None:
    yardstick, seconds = modules
    steady = Steady(2 * yardstick.REFERENCE_MS)
    taken = seconds.take([sys.executable, "-c", "import time; time.sleep(0.5)"], steady, every_s=0.1, runs=3)
    assert taken.on_reference_s == pytest.approx(taken.seconds / 2)
    assert taken.looks >= 3 and steady.looks == 3 * taken.looks
    assert taken.yardstick_ms == (steady.milliseconds,) * 3
    assert taken.peak_gb > 0


def test_a_command_that_fails_has_no_time(modules: tuple[ModuleType, ModuleType]) -> None:
    with pytest.raises(SystemExit, match="ended with status 3: no time of it is kept"):
        modules[1].take([sys.executable, "-c", "raise SystemExit(3)"], Steady(1.0), every_s=5, runs=1)


def test_nothing_runs_on_when_somebody_interrupts(
    modules: tuple[ModuleType, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(Steady):
        def look(self) -> float:
            if self.looks:
                raise KeyboardInterrupt
            return super().look()

    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, **options: started.append(popen(*args, **options)) or started[0]
    )
    with pytest.raises(KeyboardInterrupt):
        modules[1].take([sys.executable, "-c", "import time; time.sleep(60)"], Interrupting(1.0), every_s=0.1, runs=1)
    assert started[0].returncode == -signal.SIGTERM
