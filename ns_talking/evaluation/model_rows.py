"""Rows of the portrait itself: with its own sound, and with sound that does not belong to the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from ns_talking.evaluation.controls import edited
from ns_talking.evaluation.protocol import Torso
from ns_talking.evaluation.subject import Image, Subject
from ns_talking.pipelines.frames import clip_lens
from ns_talking.rendering.layers import premultiplied_over


def model(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Render with the sound that belongs to the frames."""
    return _rendered(subject, torsos, None)


def shifted(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Render with the sound of two seconds earlier."""
    return _rendered(subject, torsos, "shifted")


def shuffled(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Render with the seconds of the sound exchanged."""
    return _rendered(subject, torsos, "shuffled")


def reversed_sound(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Render with the sound played backwards."""
    return _rendered(subject, torsos, "reversed")


def silenced(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Render with digital silence."""
    return _rendered(subject, torsos, "silenced")


def mean_sound(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Render with the mean features of the clip."""
    return _rendered(subject, torsos, "mean-sound")


def _rendered(subject: Subject, torsos: tuple[Torso, ...], control: str | None) -> Iterator[dict[Torso, Image]]:
    portrait, track = subject.pipeline.portrait_model.eval(), subject.track
    if control is not None:
        first_s, last_s = subject.indices[0] / track.fps, (subject.indices[-1] + 1) / track.fps
        track = replace(track, features=edited(track.features, control, float(first_s), float(last_s)))
    lens = clip_lens(subject.pipeline, None)
    previous = portrait.track
    try:
        for number, index in enumerate(subject.indices):
            portrait.track = track
            camera = lens.camera(track.head_poses[index], int(index) / track.num_frames)
            with torch.no_grad():
                outputs = portrait.get_outputs_for_camera(camera)
            images: dict[Torso, Image] = {}
            for torso in torsos:
                rgb = outputs["rgb"]
                if torso == "real":
                    behind = torch.from_numpy(subject.real(number).behind.astype(np.float32) / 255).to(rgb.device)
                    rgb = premultiplied_over(outputs["head_rgb"], outputs["accumulation"], behind)
                images[torso] = (rgb.clamp(0, 1) * 255).round().byte().cpu().numpy()
            yield images
    finally:
        portrait.track = previous
