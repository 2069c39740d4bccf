"""What opens files of others: each target damages a whole file and opens it as the commands do."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzzing import Target, fuzz
from mutation import Undamaged, as_text, mutated, mutated_json
from portrait_target import open_as_render_does, portrait_damage
from portraits import write_tiny_portrait
from videos import grey, write_video

from ns_talking.audio.io import write_wav
from ns_talking.evaluation.record import SCHEMA, VERSION, RowRecord, RunRecord
from ns_talking.metrics.base import Figure

_NUM_FRAMES = 11


def quiet(description: str, *, total: float, unit: str) -> Any:  # Any: a context manager of a callback.
    """Show no progress."""
    return nullcontext(lambda amount=1: None)


def targets(folder: Path) -> list[Target]:
    """Make a whole file of every kind, and say what opens it.

    Args:
        folder: Where the whole files go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dataset = write_tiny_portrait(folder / "dataset", num_frames=_NUM_FRAMES, size=32)
    return [
        *(Target(f"video {suffix}", _file(_video(folder, suffix)), _read_video) for suffix in ("mp4", "mkv", "mov")),
        Target("wav", _file(_sound(folder)), _read_sound),
        Target("transforms.json", _in_dataset(dataset, "transforms.json"), _read_dataset),
        Target("arrays", _array_in_dataset(dataset), _read_dataset),
        Target("pictures", _picture_in_dataset(dataset), _read_dataset),
        Target("AD-NeRF transforms", _in_dataset(_ad_nerf(dataset, folder), "transforms_train.json"), _read_ad_nerf),
        Target("manifest.json", _manifest(folder), _process_again),
        Target("config.yml", _file(_config(folder)), _read_config),
        Target("camera path", _json_file(folder, "path.json", _camera_path()), _read_camera_path),
        Target("subject.json", _json_file(folder, "subject.json", _consent()), _read_consent),
        Target("checkpoint", _file(_checkpoint(folder)), _read_checkpoint),
        Target("blinks", _file(_blinks(folder)), _read_blinks),
        Target("poses", _json_file(folder, "poses.json", _camera_path()), _read_poses),
        Target("portrait", portrait_damage(dataset, folder), open_as_render_does),
        Target("evaluation.json", _json_file(folder, "evaluation.json", _evaluation()), _read_evaluation),
    ]


def whole(target: Target, folder: Path) -> str:
    """Open the file without damage; `read` is what comes of it.

    In a fork, as damaged ones are: the threads of a library that has been used here would be missing in later forks,
    which then wait for them (PyAV 19 keeps those that convert pictures).
    """
    undamaged = replace(target, damage=lambda _, place: target.damage(Undamaged(), place))
    found = fuzz(undamaged, folder, [0])
    return "; ".join(found.failures) or next(iter(found.outcomes))


def _file(whole: Path) -> Callable[[np.random.Generator, Path], Path]:
    content = whole.read_bytes()

    def damage(random: np.random.Generator, folder: Path) -> Path:
        path = folder / f"damaged{whole.suffix}"
        path.write_bytes(mutated(content, random))
        return path

    return damage


def _json_file(folder: Path, name: str, content: Any) -> Callable[[np.random.Generator, Path], Path]:
    def damage(random: np.random.Generator, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(_damaged_json(content, random))
        return path

    return damage


def _damaged_json(content: Any, random: np.random.Generator) -> bytes:
    """Damage the values more often than the syntax, which is refused at once."""
    if isinstance(random, Undamaged):
        return as_text(content)
    if random.random() < 0.25:
        return mutated(as_text(content), random)
    return as_text(mutated_json(content, random))


def _copy(dataset: Path, folder: Path) -> Path:
    copied = folder / "damaged_dataset"
    if not copied.exists():
        shutil.copytree(dataset, copied)
    return copied


def _in_dataset(dataset: Path, name: str) -> Callable[[np.random.Generator, Path], Path]:
    content = json.loads((dataset / name).read_text())

    def damage(random: np.random.Generator, folder: Path) -> Path:
        copied = _copy(dataset, folder)
        (copied / name).write_bytes(_damaged_json(content, random))
        return copied

    return damage


def _array_in_dataset(dataset: Path) -> Callable[[np.random.Generator, Path], Path]:
    return _one_of(dataset, ["landmarks.npy", "head_poses.npy", "blink.npy", "features/mel.npy", "audio.wav"])


def _picture_in_dataset(dataset: Path) -> Callable[[np.random.Generator, Path], Path]:
    names = ["background.png", "images/000000.jpg", "parsing/000000.png", "torso/000000.png"]
    return _one_of(dataset, names)


def _one_of(dataset: Path, names: list[str]) -> Callable[[np.random.Generator, Path], Path]:
    def damage(random: np.random.Generator, folder: Path) -> Path:
        copied = _copy(dataset, folder)
        for name in names:
            shutil.copyfile(dataset / name, copied / name)
        chosen = names[int(random.integers(len(names)))]
        (copied / chosen).write_bytes(mutated((dataset / chosen).read_bytes(), random))
        return copied

    return damage


def _video(folder: Path, suffix: str) -> Path:
    sound = np.random.default_rng(0).standard_normal(19_200).astype(np.float32) * 0.1
    return write_video(folder / f"whole.{suffix}", [grey(k / 30, 48, 48) for k in range(30)], sound=sound)


def _sound(folder: Path) -> Path:
    write_wav(folder / "whole.wav", np.random.default_rng(0).standard_normal(8_000).astype(np.float32) * 0.1)
    return folder / "whole.wav"


def _read_video(path: Path) -> None:
    """Do what `process` does with a video before it looks for faces."""
    from ns_talking.process.frames import FramesStep
    from ns_talking.process.soundtrack import SoundtrackStep
    from ns_talking.process.step import ProcessSettings, Workspace

    folder = path.parent / "made"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "work").mkdir(parents=True)
    settings = ProcessSettings(size=64, crop="none", max_seconds=2.0, allow_silent=True)
    workspace = Workspace(folder, path, settings)
    FramesStep().run(workspace, quiet)
    SoundtrackStep().run(workspace, quiet)


def _read_sound(path: Path) -> None:
    """Do what `render` does with a sound."""
    from ns_talking.audio.mel import MelFeatures
    from ns_talking.audio.voice_activity import voice_activity
    from ns_talking.utils.media import source_format, stream_samples

    table = MelFeatures().extract(path, path.parent / "features.npy")
    voice_activity(path, 50, 25.0)
    source_format(path)
    for _ in itertools.islice(stream_samples(path, 48_000, 2, block_s=1.0), 30):
        pass
    table.windows(np.arange(3) / 25)


def _read_dataset(path: Path) -> None:
    """Do what a training does with a dataset before its first iteration."""
    from ns_talking.data.clip_track import clip_track
    from ns_talking.data.portrait_dataset import PortraitDataset
    from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig

    _open_dataset(TalkingPortraitDataParserConfig(data=path), PortraitDataset, clip_track)


def _read_ad_nerf(path: Path) -> None:
    from ns_talking.data.portrait_dataset import PortraitDataset
    from ns_talking.dataparsers.ad_nerf import ADNeRFDataParserConfig

    _open_dataset(ADNeRFDataParserConfig(data=path), PortraitDataset, None)


def _open_dataset(config: Any, dataset_type: Any, track: Any) -> None:
    outputs = config.setup().get_dataparser_outputs(split="train")
    dataset = dataset_type(outputs)
    dataset.frame(0)
    if track is not None:
        track(outputs.metadata["portrait"], "auto").at_frames(torch.arange(3))


def _ad_nerf(dataset: Path, folder: Path) -> Path:
    from ns_talking.data.format import read_portrait
    from ns_talking.export.ad_nerf import export_ad_nerf

    output = folder / "ad_nerf"
    if not output.exists():
        export_ad_nerf(read_portrait(dataset), output, lambda: None)
    return output


class CopyStep:
    """A step of `process` that takes no time."""

    name = "copy"
    needs: tuple[str, ...] = ()
    version = 1

    def outputs(self, workspace: Any) -> list[Path]:
        return [workspace.work("copy.txt")]

    def settings_key(self, settings: Any) -> dict[str, Any]:
        return {"size": settings.size}

    def run(self, workspace: Any, progress: Any) -> dict[str, Any]:
        workspace.work("copy.txt").write_text("copied")
        return {"notes": ["copied"]}


class LaterStep(CopyStep):
    """One that needs it."""

    name = "later"
    needs = ("copy",)

    def outputs(self, workspace: Any) -> list[Path]:
        return [workspace.folder / "later.txt"]

    def run(self, workspace: Any, progress: Any) -> dict[str, Any]:
        (workspace.folder / "later.txt").write_text(workspace.work("copy.txt").read_text())
        return {}


_STEPS = {"copy": "targets:CopyStep", "later": "targets:LaterStep"}


def _manifest(folder: Path) -> Callable[[np.random.Generator, Path], Path]:
    (folder / "clip.mp4").write_bytes(b"pictures")
    made = folder / "processed"
    if not made.exists():
        _steps(made, folder / "clip.mp4")
    content = json.loads((made / "manifest.json").read_text())

    def damage(random: np.random.Generator, folder_: Path) -> Path:
        copied = folder_ / "processed"
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(made, copied)
        shutil.copyfile(folder / "clip.mp4", folder_ / "clip.mp4")
        (copied / "manifest.json").write_bytes(_damaged_json(content, random))
        return copied

    return damage


def _steps(folder: Path, video: Path) -> None:
    from ns_talking.process.runner import run_steps
    from ns_talking.process.step import ProcessSettings, Workspace

    run_steps(Workspace(folder, video, ProcessSettings()), quiet, registry=_STEPS)


def _process_again(path: Path) -> None:
    precious = path.parent / "precious.txt"
    precious.write_text("not the dataset's")
    _steps(path, path.parent / "clip.mp4")
    assert (path / "later.txt").read_text() == "copied"
    assert precious.read_text() == "not the dataset's", "a manifest must not reach outside of its folder"


def _config(folder: Path) -> Path:
    import yaml

    from ns_talking.methods.er_nerf import er_nerf

    path = folder / "config.yml"
    path.write_text(yaml.dump(er_nerf.config))
    return path


def _read_config(path: Path) -> None:
    from ns_talking.scripts.loading import read_config, relocated

    checkpoints = path.parent / "nerfstudio_models"
    checkpoints.mkdir(exist_ok=True)
    (checkpoints / "step-000000001.ckpt").touch()
    relocated(read_config(path), path, path.parent)


def _camera_path() -> dict[str, Any]:
    camera = {"camera_to_world": np.eye(4).reshape(-1).tolist(), "fov": 40.0, "aspect": 1.0, "render_time": 0.0}
    return {
        "camera_type": "perspective", "render_height": 32, "render_width": 32, "fps": 25, "seconds": 0.12,
        "is_cycle": False, "camera_path": [camera | {"render_time": k / 3} for k in range(3)],
        "audio": "speech.wav", "pose": "track", "start_frame": 0, "background": "white", "silence": "rest",
    }  # fmt: skip


def _read_camera_path(path: Path) -> None:
    """Do what `ns-render camera-path` does with what it has parsed; that it parses is Nerfstudio's part."""
    from nerfstudio.cameras.camera_paths import get_path_from_json

    from ns_talking.pipelines.render_hook import reading_speech

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    reading_speech(get_path_from_json)(content)


def _consent() -> dict[str, str]:
    return {"who": "Ada", "consent": "written", "scope": "research", "date": "2026-01-01"}


def _read_consent(path: Path) -> None:
    from ns_talking.data.subject import read_subject

    read_subject(path)


def _checkpoint(folder: Path) -> Path:
    path = folder / "whole.ckpt"
    torch.save({"step": 3, "pipeline": {"weight": torch.arange(5_000.0)}}, path)
    return path


def _read_checkpoint(path: Path) -> None:
    from ns_talking.utils.checkpoints import check_checkpoint

    check_checkpoint(path)
    assert int(torch.load(path, weights_only=True)["step"]) == 3


def _blinks(folder: Path) -> Path:
    np.save(folder / "blinks.npy", np.linspace(0, 1, 30, dtype=np.float32))
    return folder / "blinks.npy"


def _read_blinks(path: Path) -> None:
    from ns_talking.driving.blinks import read_blinks

    read_blinks(path)


def _read_poses(path: Path) -> None:
    from ns_talking.data.pose_source import read_head_poses

    read_head_poses(path)


def _evaluation() -> dict[str, Any]:
    row = RowRecord("model", "Model", {"psnr": 30.0}, num_frames=3)
    figure = Figure("psnr", "PSNR", "dB", "higher", "Ratio.")
    run = RunRecord("me/er-nerf/now", "er-nerf", "me", "0123", 42, "quick", "Quick", [figure], [row])
    return {"schema": SCHEMA, "version": VERSION, "runs": [asdict(run)], "comparison": []}


def _read_evaluation(path: Path) -> None:
    from ns_talking.evaluation.record import read_record

    read_record(path)
