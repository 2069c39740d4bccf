"""Frames of a portrait as its track drives it: which ones, through which lens, rendered one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt8
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from ns_talking.driving.features import feature_values
from ns_talking.driving.track import DrivingTrack
from ns_talking.utils.backgrounds import covering
from ns_talking.utils.mapped import release

if TYPE_CHECKING:
    from ns_talking.pipelines.portrait import PortraitPipeline

_FRAMES_IN_MEMORY = 250
"""Frames whose audio features may stay in memory once they were read."""


@dataclass(frozen=True)
class Lens:
    """What all cameras of a video have in common."""

    width: int
    height: int
    focal_px: float
    centre_px: tuple[float, float]
    """Principal point, x and y."""

    def camera(self, head_pose: Float[np.ndarray, "4 4"], time: float) -> Cameras:
        """Build Nerfstudio's camera, a batch of one.

        Args:
            head_pose: Camera-to-world.
            time: In [0, 1] over the driving track.
        """
        return Cameras(
            camera_to_worlds=torch.from_numpy(np.asarray(head_pose[None, :3], dtype=np.float32)),
            fx=self.focal_px,
            fy=self.focal_px,
            cx=self.centre_px[0],
            cy=self.centre_px[1],
            width=self.width,
            height=self.height,
            times=torch.tensor([[time]]),
        )


def clip_lens(pipeline: PortraitPipeline, size: int | None) -> Lens:
    """Take the lens that the portrait was trained with.

    Args:
        pipeline: The portrait.
        size: Longer side wanted, in px; None keeps that of the training frames.
    """
    first = pipeline.datamanager.train_dataset.cameras[0]
    width, height = int(first.width), int(first.height)
    scale = 1.0 if size is None else size / max(width, height)
    return Lens(
        width=max(1, round(width * scale)),
        height=max(1, round(height * scale)),
        focal_px=float(first.fx) * scale,
        centre_px=(float(first.cx) * scale, float(first.cy) * scale),
    )


def frames_between(track: DrivingTrack, start_s: float, end_s: float | None) -> range:
    """Choose the frames of a part of a track; it looks the same as in the whole.

    Raises:
        ValueError: When the start lies behind the end of the sound.
    """
    start = int(start_s * track.fps + 0.5)
    end = track.num_frames if end_s is None else min(track.num_frames, max(start + 1, int(end_s * track.fps + 0.5)))
    if start >= track.num_frames:
        raise ValueError(f"--start {start_s:g} lies behind the end of the audio, which lasts {track.duration_s:.2f} s.")
    return range(start, end)


def render_frames(
    pipeline: PortraitPipeline, track: DrivingTrack, frames: range, lens: Lens, transparent: bool = False
) -> Iterator[UInt8[np.ndarray, "height width channels"]]:
    """Render frames of a track one by one.

    Args:
        pipeline: The portrait; its model uses the track already.
        track: What drives it.
        frames: Which frames of the track.
        lens: Focal length and size of the pictures.
        transparent: Give the person without a background as RGBA, colours not multiplied by alpha.
    """
    for frame in frames:
        camera = lens.camera(track.head_poses[frame], frame / track.num_frames)
        outputs = pipeline.model.get_outputs_for_camera(camera)
        if frame % _FRAMES_IN_MEMORY == 0:
            release(feature_values(track.features))
        image = person(outputs) if transparent else outputs["rgb"]
        yield (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()


def over_moving(
    pipeline: PortraitPipeline,
    images: Iterator[UInt8[np.ndarray, "height width 3"]],
    backgrounds: Iterator[UInt8[np.ndarray, "rows columns 3"]],
    lens: Lens,
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Put another picture behind the person for each frame.

    Args:
        pipeline: The portrait.
        images: What `render_frames` gives: nothing of a frame is rendered before it is asked for.
        backgrounds: One picture per frame, cut to cover it.
        lens: Size of the frames.
    """
    for background in backgrounds:
        pipeline.portrait_model.set_background(covering(background, lens.width, lens.height))
        image = next(images, None)
        if image is None:
            return
        yield image


def person(outputs: dict[str, Tensor]) -> Float[Tensor, "height width 4"]:
    """Take head and torso from a model's layers, without what is behind them.

    Args:
        outputs: What a portrait model gives for a camera.

    Returns:
        Colours, not multiplied by alpha, and alpha.
    """
    head, torso = outputs["accumulation"], (1 - outputs["accumulation"]) * outputs["torso_alpha"]
    alpha = head + torso
    colour = (outputs["head_rgb"] + torso * outputs["torso_rgb"]) / alpha.clamp(min=1e-6)
    return torch.cat([colour, alpha], dim=-1)
