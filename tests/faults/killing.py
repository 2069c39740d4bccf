"""Kills commands at random moments, lets the same command finish, and compares with a run that nobody disturbed."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from commands import attempt, run, training
from portraits import write_tiny_portrait

from ns_talking.audio.io import write_wav

KILLED = -9
ITERATIONS = 40
_TIMES = ("seconds", "finished")
"""What a manifest says of the clock."""


@dataclass(frozen=True)
class Command:
    """A command that shall survive being killed."""

    name: str
    script: str
    arguments: Callable[[Path], list[object]]
    """Arguments of the next attempt, given the folder it works in."""
    result: Callable[[Path], Any]
    """What it leaves, in a form that can be compared."""
    looks_complete: Callable[[Path], bool]
    """Whether somebody who looks into the folder takes it for done."""


@dataclass
class Killed:
    """What became of a command that was killed again and again."""

    whole_s: float
    """Time of the undisturbed run."""
    kills_s: list[float] = field(default_factory=list)
    """Time into the command of every kill."""
    finished: int = 0
    """Attempts that were done before they would have been killed."""


def torture(command: Command, folder: Path, expected: Any, whole_s: float, kills: int, seed: int) -> Killed:
    """Kill a command at random moments of its work until it was killed so many times.

    After every kill the next attempt goes on; when one finishes, the result is compared and a new folder is begun.

    Raises:
        AssertionError: When partial output looks complete, or the result differs.
    """
    random = np.random.default_rng(seed)
    found = Killed(whole_s)
    work = folder / command.name
    fresh(work)
    while len(found.kills_s) < kills:
        after_s = float(random.uniform(0, whole_s))
        status, printed = attempt(command.script, *command.arguments(work), cwd=work, kill_after_s=after_s)
        if status == KILLED:
            found.kills_s.append(round(after_s, 2))
            if command.looks_complete(work):
                assert command.result(work) == expected, f"{command.name}: killed after {after_s:.2f} s, looks complete"
            continue
        assert status == 0, f"{command.name} failed after {found.kills_s}:\n{printed[-4000:]}"
        found.finished += 1
        assert command.result(work) == expected, f"{command.name}: another result after kills at {found.kills_s}"
        fresh(work)
    printed = run(command.script, *command.arguments(work), cwd=work)
    assert command.result(work) == expected, f"{command.name}: another result after kills at {found.kills_s}\n{printed}"
    left = [path for path in work.rglob("*") if ".partial" in path.name or path.name.endswith(".unfinished")]
    assert not left, f"{command.name} leaves {left}"
    shutil.rmtree(work)
    return found


def undisturbed(command: Command, folder: Path) -> tuple[Any, float]:
    """Run a command once, and give its result and how long it took."""
    work = folder / f"{command.name}_whole"
    fresh(work)
    began_s = time.monotonic()
    run(command.script, *command.arguments(work), cwd=work)
    took_s = time.monotonic() - began_s
    return command.result(work), took_s


def fresh(work: Path) -> None:
    """Begin with an empty folder."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)


def train(data: Path) -> Command:
    """Train the tiny portrait, from the latest checkpoint where there is one."""

    def arguments(work: Path) -> list[object]:
        checkpoints = work / "out/tiny/er-nerf/run/nerfstudio_models"
        # As in a home directory: the dataset is named relative to where the command is run.
        if not (work / "tiny").exists():
            (work / "tiny").symlink_to(data)
        resume = ["--load-dir", checkpoints] if any(checkpoints.glob("step-*.ckpt")) else []
        return [*training(ITERATIONS), "--steps-per-save", "5", *resume]

    def last(work: Path) -> list[Path]:
        return sorted((work / "out/tiny/er-nerf/run/nerfstudio_models").glob("step-*.ckpt"))

    return Command(
        "train",
        "ns-train",
        arguments,
        lambda work: digest(torch.load(last(work)[-1], weights_only=True)),
        lambda work: bool(last(work)) and last(work)[-1].name == f"step-{ITERATIONS - 1:09d}.ckpt",
    )


def render(config: Path, speech: Path) -> Command:
    """Render a portrait."""

    def result(work: Path) -> list[str]:
        with av.open(str(work / "video.mp4")) as video:
            return [hashlib.sha256(bytes(packet)).hexdigest() for packet in video.demux() if packet.size]

    return Command(
        "render",
        "ns-talking",
        lambda work: ["render", "--load-config", config, "--audio", speech, "--output", "video.mp4", "--size", 16],
        result,
        lambda work: (work / "video.mp4").exists(),
    )


def evaluate(config: Path, models: Path) -> Command:
    """Evaluate a portrait by metrics that need no downloaded weights."""

    def result(work: Path) -> dict[str, Any]:
        record = json.loads((work / "evaluation/evaluation.json").read_text())["runs"][0]
        timed = ("fps_", "training_minutes")
        rows = {
            row["name"]: {key: value for key, value in row["values"].items() if not any(word in key for word in timed)}
            for row in record["rows"]
        }
        return {"rows": rows, "num_frames": [row["num_frames"] for row in record["rows"]]}

    return Command(
        "evaluate",
        "ns-talking",
        lambda work: [
            "evaluate",
            "--load-config",
            config,
            "--models",
            models,
            "--output",
            "evaluation",
            "--protocol",
            "quick",
        ],
        result,
        lambda work: (work / "evaluation/evaluation.json").exists(),
    )


def process(video: Path, models: Path, seconds: float) -> Command:
    """Make a dataset of a real clip."""

    def result(work: Path) -> dict[str, str]:
        folder = work / "dataset"
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
        manifest = json.loads((folder / "manifest.json").read_text())
        found["manifest.json"] = json.dumps(without_times(manifest), sort_keys=True)
        # The report shows how long the steps took.
        found.pop("report.html")
        return found

    return Command(
        "process",
        "ns-talking",
        lambda work: [
            "process",
            video,
            "--output",
            "dataset",
            "--max-seconds",
            seconds,
            "--size",
            128,
            "--models",
            models,
        ],  # fmt: skip
        result,
        lambda work: (work / "dataset/report.html").exists(),
    )


def without_times(content: Any) -> Any:
    """Take out of JSON what the clock says."""
    if isinstance(content, dict):
        return {key: without_times(value) for key, value in content.items() if key not in (*_TIMES, "report.html")}
    return [without_times(value) for value in content] if isinstance(content, list) else content


def digest(state: Any) -> str:
    """Hash a checkpoint's content, whatever its container looks like."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, dict):
            for key, entry in value.items():
                found.update(str(key).encode())
                add(entry)
        elif isinstance(value, list | tuple):
            for entry in value:
                add(entry)
        elif isinstance(value, torch.Tensor):
            found.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            found.update(repr(value).encode())

    add(state)
    return found.hexdigest()


def tiny(folder: Path) -> Path:
    """Write the dataset that is trained on."""
    return write_tiny_portrait(folder / "tiny", num_frames=132, size=32)


def speech(folder: Path, seconds: float) -> Path:
    """Write noise that swells and fades twice a second."""
    path = folder / f"speech_{seconds:g}.wav"
    count = round(seconds * 16_000)
    swell = 0.5 + 0.5 * np.sin(np.arange(count) / 16_000 * 4 * np.pi)
    noise = np.random.default_rng(0).standard_normal(count) * 0.2 * swell
    write_wav(path, noise.astype(np.float32))
    return path
