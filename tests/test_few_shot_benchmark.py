"""The benchmark of few-shot portraits tells of each arm what its seeds gave."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType


def test_a_figure_of_an_arm_is_mean_and_range_over_its_seeds(benchmark_module: Callable[[str], ModuleType]) -> None:
    few_shot = benchmark_module("few_shot")
    records = [
        {"options": {"arm": arm, "seed": seed}, "psnr": psnr} | extra
        for arm, seed, psnr, extra in (
            ("base", 42, 20.0, {"lmd": 3.0}),
            ("scratch", 42, 10.0, {}),
            ("base", 43, 26.0, {}),
        )
    ]
    assert few_shot.summary(records) == {
        "base": {
            "seeds": [42, 43],
            "psnr": {"mean": 23.0, "least": 20.0, "most": 26.0},
            "lmd": {"mean": 3.0, "least": 3.0, "most": 3.0},
        },
        "scratch": {"seeds": [42], "psnr": {"mean": 10.0, "least": 10.0, "most": 10.0}},
    }
