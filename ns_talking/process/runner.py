"""Runs the steps in order, does again only what is missing or outdated, and keeps `manifest.json`."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ns_talking.data.format import SUBJECT
from ns_talking.process import STEPS
from ns_talking.process.step import Progress, Step, Workspace
from ns_talking.utils.files import folder_sha256, sha256, write_json
from ns_talking.utils.registry import lookup

MANIFEST_VERSION = 1
_PACKAGES = ("ns-talking", "numpy", "scipy", "opencv-python-headless", "av", "mediapipe", "torch")


@dataclass(frozen=True)
class StepResult:
    """What became of one step."""

    name: str
    skipped: bool
    """Whether its outputs were there already."""
    seconds: float
    """Time it took now, or when it was done."""
    figures: Mapping[str, Any]


@dataclass
class RunResult:
    """What became of a run."""

    steps: list[StepResult] = field(default_factory=list)

    @property
    def nothing_done(self) -> bool:
        """Whether everything was there already."""
        return all(step.skipped for step in self.steps)

    @property
    def notes(self) -> list[str]:
        """Sentences for the user, of all steps."""
        return [note for step in self.steps for note in step.figures.get("notes", [])]


def run_steps(
    workspace: Workspace,
    progress: Progress,
    names: Iterable[str] | None = None,
    overwrite: bool = False,
    registry: Mapping[str, str] = STEPS,
    started: Callable[[str], None] = lambda name: None,
    finished: Callable[[StepResult], None] = lambda result: None,
) -> RunResult:
    """Make a dataset, or finish or renew one.

    A step is skipped when it is recorded with the same code version, settings, video and inputs, and its outputs are
    still there as they were. Otherwise its outputs and those of all steps that read them are removed, so that a
    dataset never mixes old and new parts. A video that cannot pass the first step leaves no new folder.

    Args:
        workspace: The dataset, the video and the settings.
        progress: Shows the progress of each step.
        names: Steps to run, with all that they need; None runs all.
        overwrite: Whether to do everything again, also when the folder holds another video's dataset.
        registry: Steps by name, in order.
        started: Told the name of each step that is really run.
        finished: Told the result of each step, run or skipped.

    Raises:
        FileNotFoundError: When the video does not exist.
        ValueError: When the folder belongs to something else.
    """
    if not workspace.video.is_file():
        if workspace.video.is_dir():
            raise ValueError(f"{workspace.video} is a folder. Name the video itself.")
        raise FileNotFoundError(f"There is no video {workspace.video}. Check the path.")
    steps = _ordered_steps(registry, names)
    video = {
        "name": workspace.video.name,
        "bytes": workspace.video.stat().st_size,
        "sha256": sha256(workspace.video),
    }
    is_new = not workspace.folder.exists()
    manifest = _open_manifest(workspace, video, overwrite)
    _remove_leftovers(workspace.folder)
    if not workspace.manifest.is_file():
        # Before anything else: a folder that holds other things but no manifest is taken for somebody else's.
        workspace.folder.mkdir(parents=True, exist_ok=True)
        write_json(workspace.manifest, manifest)
    workspace.work("").mkdir(exist_ok=True)
    result = RunResult()
    for step in steps:
        fingerprint = _fingerprint(step, workspace, video["sha256"], manifest)
        entry = manifest["steps"].get(step.name)
        if not overwrite and entry and entry["fingerprint"] == fingerprint and _outputs_intact(workspace, entry):
            done = StepResult(step.name, True, entry["seconds"], entry["figures"])
        else:
            started(step.name)
            _forget(step.name, workspace, manifest, registry)
            write_json(workspace.manifest, manifest)
            begin = time.perf_counter()
            try:
                figures = step.run(workspace, progress)
            except Exception:
                if is_new and not manifest["steps"]:
                    shutil.rmtree(workspace.folder, ignore_errors=True)
                raise
            seconds = round(time.perf_counter() - begin, 2)
            manifest["steps"][step.name] = {
                "fingerprint": fingerprint,
                "version": step.version,
                "settings": step.settings_key(workspace.settings),
                "needs": list(step.needs),
                "outputs": {
                    str(path.relative_to(workspace.folder).as_posix()): {**_measure(path), "sha256": _hash(path)}
                    for path in step.outputs(workspace)
                },
                "seconds": seconds,
                "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "figures": figures,
            }
            manifest["tools"] = _tool_versions()
            write_json(workspace.manifest, manifest)
            done = StepResult(step.name, False, seconds, figures)
        finished(done)
        result.steps.append(done)
    return result


def _ordered_steps(registry: Mapping[str, str], names: Iterable[str] | None) -> list[Step]:
    """Load the steps wanted and all that they need, in the order of the registry."""
    wanted = set(registry if names is None else names)
    loaded: dict[str, Step] = {}
    pending = list(wanted)
    while pending:
        name = pending.pop()
        if name not in loaded:
            loaded[name] = lookup(registry, name, "steps")()
            pending.extend(loaded[name].needs)
    return [loaded[name] for name in registry if name in loaded]


def _open_manifest(workspace: Workspace, video: Mapping[str, Any], overwrite: bool) -> dict[str, Any]:
    folder, path = workspace.folder, workspace.manifest
    fresh = {"manifest_version": MANIFEST_VERSION, "video": dict(video), "tools": _tool_versions(), "steps": {}}
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file. Name a folder with --output.")
    if not path.is_file():
        if folder.is_dir() and any(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
            raise ValueError(
                f"{folder} is not empty and holds no {path.name}, so it was not made by `ns-talking process`. "
                "Name another folder with --output."
            )
        return fresh
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = manifest["manifest_version"] == MANIFEST_VERSION and _steps_are_sound(manifest["steps"])
        same_video = manifest["video"]["sha256"] == video["sha256"]
        name = manifest["video"]["name"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        manifest, known, same_video, name = fresh, False, False, ""
    if not known:
        if not overwrite:
            raise ValueError(f"{path} is damaged or from another version. Make the dataset anew with --overwrite.")
        (folder / SUBJECT).unlink(missing_ok=True)
        return fresh
    if not same_video:
        # A wrong video that failed before its first step was done has no claim on the folder.
        if not overwrite and manifest["steps"]:
            raise ValueError(
                f"{folder} holds the dataset of another video ({name}). Name another folder with --output, or "
                "replace it with --overwrite."
            )
        # Who consented to the other video did not consent to this one.
        (folder / SUBJECT).unlink(missing_ok=True)
        manifest["video"] = dict(video)
    return manifest


def _steps_are_sound(steps: Any) -> bool:  # Any: JSON.
    """Tell whether records of steps are what this version writes; outputs, which may be removed, lie in the folder."""
    return all(
        isinstance(entry["fingerprint"], str)
        and isinstance(entry["seconds"], int | float)
        and isinstance(entry["figures"], dict)
        and _are_texts(entry["figures"].get("notes", []))
        and _are_texts(entry["needs"])
        and all(isinstance(recorded, dict) for recorded in entry["outputs"].values())
        and not any(Path(name).is_absolute() or {"..", ""} & set(name.split("/")) for name in entry["outputs"])
        for entry in steps.values()
    )


def _are_texts(values: Any) -> bool:  # Any: JSON.
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _fingerprint(step: Step, workspace: Workspace, video_sha256: str, manifest: Mapping[str, Any]) -> str:
    content = {
        "step": step.name,
        "version": step.version,
        "settings": step.settings_key(workspace.settings),
        "video": video_sha256,
        "needs": {name: manifest["steps"][name]["fingerprint"] for name in step.needs},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _outputs_intact(workspace: Workspace, entry: Mapping[str, Any]) -> bool:
    for name, recorded in entry["outputs"].items():
        path = workspace.folder / name
        if not path.exists():
            return False
        measured = _measure(path)
        # What is missing or of another size is known at once; a damaged file may have the old one. Datasets of earlier
        # versions record no hash of folders.
        if any(measured[key] != recorded.get(key) for key in measured):
            return False
        if "sha256" in recorded and _hash(path) != recorded["sha256"]:
            return False
    return True


def _measure(path: Path) -> dict[str, int]:
    """Measure a file or a folder."""
    if path.is_dir():
        sizes = [entry.stat().st_size for entry in path.iterdir()]
        return {"files": len(sizes), "bytes": sum(sizes)}
    return {"bytes": path.stat().st_size}


def _hash(path: Path) -> str:
    return folder_sha256(path) if path.is_dir() else sha256(path)


def _forget(name: str, workspace: Workspace, manifest: dict[str, Any], registry: Mapping[str, str]) -> None:
    """Remove the outputs and the record of a step and of all recorded steps that read them."""
    outdated = {name}
    for other in registry:
        entry = manifest["steps"].get(other)
        if entry and outdated & set(entry["needs"]):
            outdated.add(other)
    for other in outdated:
        entry = manifest["steps"].pop(other, None)
        for output in entry["outputs"] if entry else ():
            path = workspace.folder / output
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove what a killed run left half written."""
    for place in (folder, folder / "work", folder / "features"):
        for leftover in place.glob(".*.partial*") if place.is_dir() else ():
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _tool_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
