"""What the commands survive: kills at random moments, damaged files, and jobs of an hour.

    make torture                                  everything, an hour or more on two cores
    python benchmarks/torture.py kill --only train --kills 20
    python benchmarks/torture.py fuzz --files 2000
    python benchmarks/torture.py long

Each part writes its figures to benchmarks/results/torture_PART.json, or fails with what went wrong. The tests run the
same parts in a bounded form.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from timing import ROOT, circumstances

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "faults")]
RESULTS = ROOT / "benchmarks" / "results"


def kill(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Kill every command at random moments and compare with a run that nobody disturbed."""
    import killing  # pyright: ignore[reportMissingImports]
    from commands import trained_portrait  # pyright: ignore[reportMissingImports]

    config = trained_portrait(folder / "portrait") if {"render", "evaluate"} & set(options.only) else None
    clip = options.shared / "clips" / "longhair_8s.mp4"
    models = options.shared / "models"
    made = {
        "train": lambda: killing.train(killing.tiny(folder)),
        "render": lambda: killing.render(config, killing.speech(folder, 24.0)),
        "evaluate": lambda: killing.evaluate(config, models),
        "process": lambda: killing.process(clip, models, 2.0),
    }
    found = {}
    for name in options.only:
        command = made[name]()
        expected, whole_s = killing.undisturbed(command, folder)
        result = killing.torture(command, folder, expected, whole_s, options.kills, options.seed)
        found[name] = {"kills": len(result.kills_s), "finished_between": result.finished, "same_result": True}
        _say(f"{name}: {found[name]}")
    return {"commands": found, "seed": options.seed}


def fuzz(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Open damaged files, as many of every kind as of the others."""
    import fuzzing  # pyright: ignore[reportMissingImports]
    import targets  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    kinds = targets.targets(folder / "whole")
    for target in kinds:
        whole = targets.whole(target, folder / "undamaged" / target.name)
        assert whole == "read", f"the whole file of {target.name} is {whole}"
    each = -(-options.files // len(kinds))
    found, failures = {}, []
    for target in kinds:
        began_s = time.monotonic()
        result = fuzzing.fuzz(target, folder / target.name.replace(" ", "_"), range(options.seed, options.seed + each))
        found[target.name] = {**result.outcomes, "peak_mib": result.peak_mib, "slowest_s": result.slowest_s}
        failures += result.failures
        _say(f"{target.name}: {found[target.name]} in {time.monotonic() - began_s:.0f} s")
    for failure in failures:
        _say(failure)
    assert not failures, f"{len(failures)} damaged files are not refused clearly"
    return {
        "files": each * len(kinds),
        "failed": 0,
        "peak_mib": max(entry["peak_mib"] for entry in found.values()),
        "slowest_s": max(entry["slowest_s"] for entry in found.values()),
        "kinds": found,
        "seed": options.seed,
    }


def long(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Render and process several lengths, and compare the peaks of memory."""
    import torture_long
    from commands import trained_portrait  # pyright: ignore[reportMissingImports]

    found: dict[str, Any] = {}
    if "render" in options.jobs:
        config = trained_portrait(folder / "portrait")
        lengths = torture_long.rendered(config, folder, options.minutes, painted=True)
        found["render"] = {
            "field": "painted: all but the field is as in any rendering",
            "lengths": [asdict(length) for length in lengths],
            "growth": torture_long.growth(lengths),
            "drift_frames": lengths[-1].facts["drift_frames"],
        }
        _say(f"render: {found['render']}")
        assert found["render"]["growth"] <= 0.05, "memory grows with the length of the sound"
        assert found["render"]["drift_frames"] < 1, "picture and sound drift apart"
    if "process" in options.jobs:
        lengths = torture_long.processed(folder, options.process_minutes)
        found["process"] = {
            "clip": "discs for faces, found and cut out by simple stand-ins for the networks",
            "lengths": [asdict(length) for length in lengths],
            "growth": torture_long.growth(lengths),
        }
        _say(f"process: {found['process']}")
    return found


def main() -> None:
    """Run one part, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"kill": kill, "fuzz": fuzz, "long": long}
    parser.add_argument("part", choices=[*parts, "all"])
    parser.add_argument(
        "--only", nargs="+", default=["train", "render", "evaluate", "process"], help="commands to kill"
    )
    parser.add_argument("--kills", type=int, default=20, help="kills of every command")
    parser.add_argument("--files", type=int, default=2000, help="damaged files, of all kinds together")
    parser.add_argument("--jobs", nargs="+", default=["render", "process"], help="long jobs")
    parser.add_argument("--minutes", nargs="+", type=float, default=[1.0, 10.0, 60.0], help="lengths to render")
    parser.add_argument("--process-minutes", nargs="+", type=float, default=[1.0, 5.0, 20.0], help="lengths to process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with clips and models")
    parser.add_argument("--no-record", action="store_true", help="write no figures")
    options = parser.parse_args()
    options.shared = options.shared.resolve()
    for name in parts if options.part == "all" else [options.part]:
        with tempfile.TemporaryDirectory(prefix="ns-talking-torture-") as folder:
            found = parts[name](options, Path(folder))
        if not options.no_record:
            path = RESULTS / f"torture_{name}.json"
            path.write_text(json.dumps({**circumstances(), **found}, indent=2) + "\n", encoding="utf-8")
            _say(f"Wrote {path}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
