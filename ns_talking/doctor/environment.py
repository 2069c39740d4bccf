"""Checks of the installation: packages, versions known to conflict, GPU, models, entry points."""

from __future__ import annotations

import importlib
import importlib.metadata
from pathlib import Path

import torch
from packaging.version import Version

from ns_talking.process.models import MODELS, installed_model
from ns_talking.utils.model_files import cache_folder
from ns_talking.utils.verdicts import Verdict

_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def environment(models: Path | None = None) -> list[Verdict]:
    """Run all checks of the installation.

    Args:
        models: Folder with model files, searched first.
    """
    return [torch_pair(), nerfstudio(), opencv(), mediapipe(), device(), triton(), *entry_points(), *models_of(models)]


def torch_pair() -> Verdict:
    """Torch and torchvision have to be a pair: otherwise every command of Nerfstudio stops."""
    name, reason = "torch and torchvision", "Nerfstudio imports both."
    try:
        importlib.import_module("torchvision")
        torch.ops.torchvision.nms  # noqa: B018 # Looking it up loads the compiled part.
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        advice = "Install both in one command: pip install --force-reinstall torch torchvision"
        return Verdict(name, "fail", " ".join(str(error).split())[:120], reason, advice)
    return Verdict(name, "pass", f"{torch.__version__}, {version('torchvision')}", reason, "")


def nerfstudio() -> Verdict:
    """The plugin is made for 1.1.5 and its successors below 1.2."""
    found = version("nerfstudio")
    fits = found is not None and Version("1.1.5") <= Version(found) < Version("1.2")
    advice = "" if fits else "pip install 'nerfstudio>=1.1.5,<1.2'"
    return Verdict("nerfstudio", "pass" if fits else "fail", found or "not installed", "It is the host.", advice)


def opencv() -> Verdict:
    """Two wheels of OpenCV write to the same folder, and the last one wins."""
    found = [name for name in _OPENCV if version(name)]
    several = len(found) > 1
    advice = f"pip uninstall {' '.join(found)}, then pip install opencv-python-headless==4.10.0.84" if several else ""
    shown = ", ".join(f"{name} {version(name)}" for name in found) or "none"
    return Verdict("OpenCV", "warn" if several else "pass", shown, "Several wheels overwrite each other.", advice)


def mediapipe() -> Verdict:
    """Landmarks need it; versions after 0.10.32 send metrics of use."""
    found = version("mediapipe")
    reason = "`process` and `evaluate` find landmarks with it."
    if found is None:
        advice = "pip install mediapipe==0.10.31, or another detector: pip install 'ns-talking[face-alignment]'"
        return Verdict("MediaPipe", "warn", "not installed", reason, advice)
    if Version(found) > Version("0.10.33"):
        advice = "pip install mediapipe==0.10.31, the newest that sends nothing and installs beside Nerfstudio"
        return Verdict("MediaPipe", "warn", found, "Later versions send metrics of use to their maker.", advice)
    return Verdict("MediaPipe", "pass", found, reason, "")


def device() -> Verdict:
    """A GPU takes the paper's schedule, a CPU a preset of minutes."""
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 1e9
        return Verdict("GPU", "pass", f"{torch.cuda.get_device_name(0)}, {memory:.0f} GB", "It is used by itself.", "")
    built = torch.version.cuda
    found = f"none seen by torch built for CUDA {built}" if built else "none: torch is built for the CPU"
    advice = "If there is one: install its driver, and a torch built for CUDA (https://pytorch.org)."
    return Verdict("GPU", "warn", found, "Trainings take the preset for the CPU: 128 px, minutes.", advice)


def triton() -> Verdict:
    """Kernels on a GPU are Triton's; without it they are PyTorch's, and slow."""
    reason = "Kernels on a GPU are written in it."
    if not torch.cuda.is_available():
        return Verdict("Triton", "pass", "not needed without a GPU", reason, "")
    found = version("triton")
    advice = "" if found else "pip install triton (Linux), or triton-windows"
    return Verdict("Triton", "pass" if found else "fail", found or "not installed", reason, advice)


def entry_points() -> list[Verdict]:
    """Methods and dataparsers have to be registered, and each has to load: a broken one breaks every command."""
    verdicts = []
    for group, kind in (("nerfstudio.method_configs", "methods"), ("nerfstudio.dataparser_configs", "dataparsers")):
        found = list(importlib.metadata.entry_points(group=group))
        own = [point.name for point in found if point.value.startswith("ns_talking")]
        broken = {}
        for point in found:
            try:
                point.load()
            except Exception as error:  # Whatever a plugin raises stops ns-train, and is named here.
                broken[point.name] = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
        advice = ""
        if not own:
            advice = "pip install -e . (or ns-talking) once more, in this environment"
        elif broken:
            advice = f"Mend or uninstall the plugin of {next(iter(broken))}: it stops every command of Nerfstudio."
        shown = ", ".join(own) + "".join(f"; {name} broken, {reason}" for name, reason in broken.items())
        level = "fail" if advice else "pass"
        verdicts.append(Verdict(kind, level, shown or "none registered", "Nerfstudio finds them by these.", advice))
    return verdicts


def models_of(models: Path | None) -> list[Verdict]:
    """Model files: there and whole, or how they come."""
    verdicts = []
    for name, model in MODELS.items():
        try:
            path = installed_model(name, models)
        except ValueError as error:
            verdicts.append(Verdict(name, "fail", "another file of that name", model.purpose, str(error)))
            continue
        how = "downloaded when needed"
        if model.by_hand:
            how = f"its terms allow research only, so get it yourself from {model.url} and put it into {cache_folder()}"
        found = f"not there; {how}" if path is None else str(path)
        verdicts.append(Verdict(name, "pass", found, model.purpose.rstrip(","), ""))
    return verdicts


def version(package: str) -> str | None:
    """Tell the version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
