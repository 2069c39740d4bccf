"""Reference frames: which frames of a person are looked up while another frame is drawn, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.utils.device import upload

Choice = Literal["uniform", "fixed", "audio-medoids"]
"""How the references of a finished portrait are chosen: spread evenly over the training frames; frames 50, 100, 150 ...
as DFRF's released test does; or the training frames nearest to the centres of clusters of what is heard, so that every
kind of mouth has a reference near it."""
_FIXED_STEP = 50


@dataclass(frozen=True)
class References:
    """Some frames of one person as pictures."""

    images: UInt8[Tensor, "references 3 height width"]
    camera_to_world: Float[Tensor, "references 3 4"]
    """OpenGL axes."""
    lens: Float[Tensor, "4"]
    """Focal lengths and principal point in px: fx, fy, cx, cy."""
    frame: Int[Tensor, " references"]
    """Indices in the clip."""


@dataclass(frozen=True)
class Drawn:
    """What a training step knows beside its rays."""

    person: int
    """Whose frame it is; 0 is the person that is shown."""
    references: References
    lower_half: Tensor
    """Which rays meet the lower half of the face; bool, one per ray."""


def load_references(dataset: PortraitDataset, rows: Int[np.ndarray, " references"], device: torch.device) -> References:
    """Gather frames of a split.

    Args:
        dataset: The split.
        rows: Positions in it.
        device: Where they are needed.
    """
    images = np.stack([dataset.frame(int(row)).image.transpose(2, 0, 1) for row in rows])
    cameras, chosen = dataset.cameras, torch.from_numpy(rows)
    lens = torch.stack([value[chosen[0], 0] for value in (cameras.fx, cameras.fy, cameras.cx, cameras.cy)])
    return References(
        images=upload(images, device),
        camera_to_world=cameras.camera_to_worlds[chosen].to(device),
        lens=lens.to(device),
        frame=torch.tensor([dataset.frames[int(row)].index for row in rows]),
    )


def draw_references(
    num_frames: int, targets: Int[np.ndarray, " targets"], number: int, stream: np.random.Generator
) -> Int[np.ndarray, " references"]:
    """Draw training frames at random, never the ones that are being learned.

    Args:
        num_frames: Frames to draw from.
        targets: Rows of the frames of this step.
        number: How many.
        stream: Source of chance.

    Raises:
        ValueError: When there are too few frames.
    """
    others = np.setdiff1d(np.arange(num_frames), targets)
    _insist(len(others), number)
    return np.sort(stream.choice(others, number, replace=False))


def choose_references(
    num_frames: int, number: int, choice: Choice, heard: Float[np.ndarray, "frames channels"] | None = None
) -> Int[np.ndarray, " references"]:
    """Choose the frames that a finished portrait looks up.

    Args:
        num_frames: Training frames.
        number: How many.
        choice: How.
        heard: What is heard in each training frame, for `audio-medoids`.

    Raises:
        ValueError: When there are too few frames.
    """
    _insist(num_frames, number)
    if choice == "audio-medoids" and heard is not None:
        from scipy.cluster.vq import kmeans2  # Every ns-* command imports this module.

        normal = (heard - heard.mean(axis=0)) / np.maximum(heard.std(axis=0), 1e-6)
        centres, _ = kmeans2(normal.astype(np.float64), _far_apart(normal.astype(np.float64), number), minit="matrix")
        rows: list[int] = []
        for centre in centres:
            order = np.square(normal - centre).sum(axis=1).argsort(kind="stable")
            rows.append(next(int(row) for row in order if int(row) not in rows))
        return np.sort(np.array(rows))
    if choice == "fixed" and num_frames > number * _FIXED_STEP:
        return np.arange(1, number + 1) * _FIXED_STEP
    return _spread(num_frames, number)


def _spread(num_frames: int, number: int) -> Int[np.ndarray, " references"]:
    return ((np.arange(number) + 0.5) * num_frames / number).astype(np.int64)


def _far_apart(points: Float[np.ndarray, "frames channels"], number: int) -> Float[np.ndarray, "references channels"]:
    """Take the point nearest to the mean, and then always the one farthest from those taken."""
    taken = [int(np.square(points - points.mean(axis=0)).sum(axis=1).argmin())]
    while len(taken) < number:
        distances = np.square(points[:, None] - points[taken]).sum(axis=2).min(axis=1)
        taken.append(int(distances.argmax()))
    return points[taken]


def _insist(available: int, number: int) -> None:
    if available < number:
        raise ValueError(
            f"{number} reference frames were asked for, and there are {available} training frames beside the one that "
            "is drawn. Use a longer clip, or fewer references: --pipeline.model.num-references N and "
            "--pipeline.datamanager.num-references N"
        )
