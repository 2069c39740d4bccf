"""Collect the arms of `ssp_nerf.py` into one record, with what each part of SSP-NeRF gives over all seeds.

    python benchmarks/ssp_nerf_record.py --runs outputs/ssp --name procedural_head

reads every `*.json` of the folder, each written by `ssp_nerf.py --output`, and writes
`benchmarks/results/ssp_nerf_NAME.json`. Differences are taken seed by seed, between arms of one commit and of as many
iterations.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from timing import RESULTS, circumstances

_COMMAND = (
    "python benchmarks/ssp_nerf.py --data DATA --arm {arm} --seed {seed} --iterations {iterations} "
    "--working-size {working_size} --rays {rays} --eval-split {eval_split} --output FILE"
)
_QUALITY = ("psnr", "moving_psnr", "lips_psnr", "eyes_psnr", "torso_psnr", "torso_psnr_turned", "seam", "miou")
_OPAQUE = ("head_psnr", "head_opacity", "head_psnr_before_another_scene", "moving_psnr_before_another_scene")
_COMPARED = (*_QUALITY, *_OPAQUE)
_ALONE = (*_COMPARED, "torso_missed", "head_moved", "cpu_s")
_AGAINST = ("uniform", "fixed", "still", "see-through", "er-nerf")
Figures = dict[str, Any]  # Any: JSON.


@dataclass
class Record:
    """Collect arms."""

    runs: Path
    """Folder with the records of the arms."""
    name: str
    """Of the data, for the file."""
    data: str = ""
    """Command that makes the data."""

    def main(self) -> None:
        """Read, compare, write."""
        runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.runs.glob("*.json"))]
        if not runs:
            raise FileNotFoundError(f"{self.runs} holds no record. Run benchmarks/ssp_nerf.py --output first.")
        for run in runs:
            run["command"] = _COMMAND.format(**run)
            if "corrupt" in run["shares"]:
                shares = run["shares"]
                run["command"] += "".join(
                    f" --{name.replace('_', '-')} {shares[name]}"
                    for name in ("corrupt", "corrupt_from", "corrupt_until")
                )
        whole = [run for run in runs if "corrupt" not in run["shares"]]
        record = {
            **circumstances(),
            "data": self.data,
            "by_commit": {
                commit: _compared([run for run in whole if run["commit"] == commit])
                for commit in sorted({run["commit"] for run in whole})
            },
            "runs": runs,
        }
        path = RESULTS / f"ssp_nerf_{self.name}.json"
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _compared(runs: list[Figures]) -> Figures:
    """Compare the arms of one commit."""
    arms = [arm for arm in ("dynamic", *_AGAINST) if any(run["arm"] == arm for run in runs)]
    return {
        "arms": {arm: _over_seeds(runs, arm) for arm in arms},
        "dynamic_minus": {arm: _difference(runs, arm) for arm in arms if arm in _AGAINST},
    }


def _over_seeds(runs: list[Figures], arm: str) -> Figures:
    """Mean and range of the figures of an arm, for each number of iterations."""
    result: Figures = {}
    for iterations in sorted({run["iterations"] for run in runs if run["arm"] == arm}):
        own = [run for run in runs if (run["arm"], run["iterations"]) == (arm, iterations)]
        figures: Figures = {"seeds": sorted(run["seed"] for run in own)}
        for name in _ALONE:
            figures |= _spread(name, [run.get(name) for run in own])
        correlations = [run["shares"].get("correlation_of_free") for run in own]
        result[str(iterations)] = figures | _spread("correlation_of_free", correlations)
    return result


def _difference(runs: list[Figures], arm: str) -> Figures:
    """What `dynamic` has more than another arm with the same seed and as many iterations."""
    by_kind = {(run["arm"], run["iterations"], run["seed"]): run for run in runs}
    result: Figures = {}
    for iterations in sorted({run["iterations"] for run in runs if run["arm"] == arm}):
        pairs = [
            (by_kind["dynamic", iterations, seed], other)
            for (kind, count, seed), other in sorted(by_kind.items())
            if kind == arm and count == iterations and ("dynamic", iterations, seed) in by_kind
        ]
        figures: Figures = {"seeds": [one["seed"] for one, _ in pairs]}
        for name in _COMPARED:
            known = [(one, other) for one, other in pairs if one.get(name) is not None and other.get(name) is not None]
            figures |= _spread(name, [one[name] - other[name] for one, other in known])
        result[str(iterations)] = figures
    return result


def _spread(name: str, values: list[float | None]) -> Figures:
    known = [value for value in values if value is not None]
    if not known:
        return {}
    return {name: {"mean": float(np.mean(known)), "min": min(known), "max": max(known)}}


if __name__ == "__main__":
    tyro.cli(Record).main()
