"""Whether a portrait is alive: its parameters, its occupancy, its attention, and whether the mouth listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ns_talking.data.face_boxes import face_boxes
from ns_talking.data.format import HEAD_REGIONS
from ns_talking.pipelines.frames import clip_lens
from ns_talking.utils.verdicts import Level, Verdict

if TYPE_CHECKING:
    from ns_talking.data.portrait_dataset import PortraitDataset
    from ns_talking.modules.audio_code import AudioCode
    from ns_talking.pipelines.portrait import PortraitPipeline

_NUM_SOUNDS = 8
_DEAF_LEVELS = 0.4
"""Mean change of the mouth over sounds, in grey levels, below which nobody sees it move."""


def parameters(pipeline: PortraitPipeline) -> Verdict:
    """Look for NaN in what was trained and in what was measured for it: one is enough to make every picture black."""
    model = pipeline.portrait_model
    unmeasured = _unmeasured(model.audio_code)
    trained = [name for name, value in model.named_parameters() if not bool(torch.isfinite(value).all())]
    measured = [
        name
        for name, value in model.named_buffers()
        if name.removeprefix("audio_code.") not in unmeasured and not bool(torch.isfinite(value).all())
    ]
    broken = [*trained, *measured]
    if not broken:
        later = "; the mouth's rest is measured when it is needed" if unmeasured else ""
        return Verdict("parameters", "pass", f"all are finite{later}", "One NaN spreads over every picture.", "")
    found = f"{len(broken)} hold NaN or infinity, the first is {broken[0]}"
    advice = "Train again with lower learning rates or in full precision (--mixed-precision False)."
    if not trained:
        advice = "It was measured on the dataset. Look for what is wrong there, then train: ns-talking doctor DATASET"
    return Verdict("parameters", "fail", found, "One NaN spreads over every picture.", advice)


def _unmeasured(code: AudioCode) -> tuple[str, ...]:
    """Name the state of the mouth's rest where none of it was measured: it is NaN then, and measured when needed."""
    found = {name: value for name in code.ADDED_STATE if (value := getattr(code, name, None)) is not None}
    return tuple(found) if all(bool(value.isnan().all()) for value in found.values()) else ()


def occupancy(pipeline: PortraitPipeline) -> Verdict:
    """Judge how much of the box is taken for head: a dead grid renders nothing, a full one saves nothing."""
    grid = getattr(pipeline.portrait_model, "occupancy", None)
    if grid is None:
        return Verdict("occupancy", "pass", "not used by this method", "It samples without a grid.", "")
    share = float(grid.occupied.float().mean())
    level: Level = "fail" if share < 1e-4 else "warn" if share > 0.8 else "pass"
    advice = {
        "fail": "The density died. Lower the learning rate of the grids, and look at the parsing: is the head marked?",
        "warn": "Density is everywhere. Look at the parsing and the background plate in the dataset's report.",
        "pass": "",
    }[level]
    return Verdict("occupancy", level, f"{share:.1%} of the box", "Only occupied cells are rendered.", advice)


def picture(pipeline: PortraitPipeline, size: int = 96) -> list[Verdict]:
    """Render one training frame and judge whether a head is there and whether it attends to the sound.

    Args:
        pipeline: The portrait.
        size: Longer side of the picture in px; never more than that of the training frames.
    """
    dataset = pipeline.datamanager.train_dataset
    row = len(dataset) // 2
    outputs = _rendered(pipeline, dataset.frames[row].index, dataset.frames[row].index, size)
    height, width = outputs["accumulation"].shape[:2]
    head = _shrunk(np.isin(dataset.frame(row).parsing, HEAD_REGIONS), height, width)
    opaque = float(outputs["accumulation"][..., 0].numpy()[head].mean()) if head.any() else 0.0
    level: Level = "fail" if opaque < 0.2 else "warn" if opaque < 0.7 else "pass"
    advice = "Train longer; if it stays so, look at head poses and parsing in the dataset's report."
    verdicts = [
        Verdict(
            "head",
            level,
            f"{opaque:.0%} opaque where the head is",
            "A head that is not there cannot speak.",
            "" if level == "pass" else advice,
        )
    ]
    if "audio_attention" in outputs:
        attention = float(outputs["audio_attention"][..., 0].numpy()[head].mean()) if head.any() else 0.0
        level = "pass" if attention > 1e-6 else "fail"
        advice = "The sound reaches nothing. Are the audio features silent or constant? `ns-talking doctor DATASET`"
        verdicts.append(
            Verdict(
                "audio attention",
                level,
                f"{attention:.2g} on the head",
                "Attention weighs what the sound moves.",
                "" if level == "pass" else advice,
            )
        )
    return verdicts


def mouth_follows_sound(pipeline: PortraitPipeline, size: int = 96) -> Verdict:
    """Render one pose with several sounds and see how far the mouth changes; the eyes stay open.

    Args:
        pipeline: The portrait.
        size: Longer side of the pictures in px; never more than that of the training frames.
    """
    dataset = pipeline.datamanager.train_dataset
    rows = np.unique(np.linspace(0, len(dataset) - 1, _NUM_SOUNDS).round().astype(int))
    held = dataset.frames[len(dataset) // 2].index
    images = np.stack(
        [_rendered(pipeline, dataset.frames[row].index, held, size)["rgb"].numpy() * 255 for row in rows.tolist()]
    )
    x0, y0, x1, y1 = _mouth(dataset, held, images.shape[2], images.shape[1])
    change = float(images[:, y0:y1, x0:x1].std(axis=0).mean())
    level: Level = "fail" if change < _DEAF_LEVELS else "pass"
    advice = (
        "The mouth does not listen. Is the sound in step with the lips, do the lips move in the clip "
        "(`ns-talking doctor DATASET`), and was it trained long enough?"
    )
    return Verdict(
        "mouth follows sound",
        level,
        f"changes by {change:.1f} grey levels over {len(rows)} sounds",
        "Another sound has to give another mouth.",
        "" if level == "pass" else advice,
    )


def early(pipeline: PortraitPipeline) -> list[Verdict]:
    """Run what can be told after the first minutes of a training. About a second."""
    return [parameters(pipeline), occupancy(pipeline), *picture(pipeline)]


def thorough(pipeline: PortraitPipeline) -> list[Verdict]:
    """Run all checks of a finished training."""
    return [*early(pipeline), mouth_follows_sound(pipeline)]


def worrying(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Keep what did not pass."""
    return [verdict for verdict in verdicts if verdict.level != "pass"]


@torch.no_grad()
def _rendered(pipeline: PortraitPipeline, sound_of: int, pose_of: int, size: int) -> dict[str, torch.Tensor]:
    """Render the pose of one frame with the sound of another, no larger than the training frames."""
    model, track = pipeline.portrait_model, pipeline.clip_track
    dataset = pipeline.datamanager.train_dataset
    size = min(size, max(dataset.width, dataset.height))
    training, previous = model.training, model.track
    try:
        model.eval()
        model.track = replace(track, blink=np.zeros_like(track.blink))
        lens = clip_lens(pipeline, size)
        outputs = model.get_outputs_for_camera(lens.camera(track.head_poses[pose_of], sound_of / track.num_frames))
        return {name: value.float().cpu() for name, value in outputs.items()}
    finally:
        model.track = previous
        model.train(training)


def _mouth(dataset: PortraitDataset, index: int, width: int, height: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = face_boxes(dataset.portrait, [index], width, height).mouth[0].tolist()
    return x0, y0, x1, y1


def _shrunk(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = (np.arange(height) * mask.shape[0] // height)[:, None]
    return mask[rows, np.arange(width) * mask.shape[1] // width]
