"""What a portrait costs: time to train, time to render, size."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ns_talking.audio.io import read_audio, write_wav
from ns_talking.driving.features import extract_features
from ns_talking.evaluation.measuring import MeasuredRow
from ns_talking.evaluation.subject import Subject
from ns_talking.metrics.base import Figure
from ns_talking.pipelines.guard import TRAINING_RECORD

_TIMED_S = 60.0
FIGURES: tuple[Figure, ...] = (
    Figure("fps_render", "frames/s, rendering", "1/s", "higher", "Frames per second of rendering alone."),
    Figure("fps_total", "frames/s, all", "1/s", "higher", "With extraction of features and writing of the mp4."),
    Figure("training_minutes", "training", "min", "lower", "Time of the training's iterations."),
    Figure("model_parameters", "parameters", "M", "lower", "Trained numbers of the model, in millions."),
    Figure("model_mb", "checkpoint", "MB", "lower", "Size of the model in its checkpoint, without the optimisers."),
)


@dataclass(frozen=True)
class Cost:
    """Values and notes by the key of a figure, and reasons for what is missing."""

    values: dict[str, float]
    notes: dict[str, str]
    missing: dict[str, str]


def cost_of(subject: Subject, row: MeasuredRow, config_path: Path, sound: Path | None) -> Cost:
    """Measure what the row of the portrait cost.

    Args:
        subject: What was evaluated.
        row: Its row, with the times it took.
        config_path: config.yml of the training.
        sound: The sound that drives the frames.
    """
    device = str(subject.pipeline.device)
    model = subject.pipeline.portrait_model
    count = len(subject)
    numbers = [parameter.numel() for parameter in model.parameters()]
    tensors = [value for value in model.state_dict().values() if isinstance(value, torch.Tensor)]
    state = [value.numel() * value.element_size() for value in tensors]
    values = {"model_parameters": sum(numbers) / 1e6, "model_mb": sum(state) / 1e6}
    notes, missing = {}, {}
    if row.render_s > 0:
        values["fps_render"] = count / row.render_s
        notes["fps_render"] = f"on {device}, {subject.size[0]} x {subject.size[1]} px, one frame at a time"
        try:
            extraction_s = _extraction_s(subject, sound)
        except (ValueError, FileNotFoundError, ImportError) as error:
            missing["fps_total"] = f"Extraction of features could not be timed: {error}"
        else:
            values["fps_total"] = count / (row.render_s + row.encode_s + extraction_s)
            notes["fps_total"] = f"{subject.track.features.name} features on the CPU, H.264 with sound"
    else:
        missing |= dict.fromkeys(("fps_render", "fps_total"), "The rows were read back from an earlier run.")
    minutes, note = training_minutes(config_path)
    if minutes is None:
        missing["training_minutes"] = note
    else:
        values["training_minutes"] = minutes
        notes["training_minutes"] = note
    return Cost(values, notes, missing)


def training_minutes(config_path: Path) -> tuple[float | None, str]:
    """Read how long a training took, or tell it from the times of its files.

    Returns:
        Minutes, None where nothing tells them; and how they are known.
    """
    record = config_path.parent / TRAINING_RECORD
    if record.is_file():
        content = json.loads(record.read_text(encoding="utf-8"))
        return content["seconds"] / 60, f"on {content['device']}, {content['iterations']} iterations"
    checkpoints = sorted((config_path.parent / "nerfstudio_models").glob("step-*.ckpt"))
    if not checkpoints:
        return None, "The training left neither a record nor a checkpoint."
    seconds = checkpoints[-1].stat().st_mtime - config_path.stat().st_mtime
    if seconds <= 0:
        return None, "The training left no record, and its files were copied since."
    return seconds / 60, "told from the times of config and checkpoint, start-up included"


def _extraction_s(subject: Subject, sound: Path | None) -> float:
    """Time the extraction of features for a sound as long as the measured frames; of more than a minute, the first."""
    features = subject.pipeline.clip_track.features
    if sound is None:
        raise ValueError("the sound of the frames is not known.")
    start_s, whole_s = float(subject.indices[0] / subject.fps), len(subject) / subject.fps
    duration_s = min(whole_s, _TIMED_S)
    with tempfile.TemporaryDirectory(prefix="ns-talking-", ignore_cleanup_errors=True) as folder:
        part = Path(folder) / "part.wav"
        write_wav(part, read_audio(sound, start_s=start_s, duration_s=duration_s))
        began_s = time.perf_counter()
        extract_features(features.name, part, Path(folder) / "features.npy")
        return (time.perf_counter() - began_s) * whole_s / duration_s
