"""What all portrait layouts share: the configuration, the held-out part, cameras with times.

Nerfstudio loads dataparser plugins while its datamanagers are half imported. Modules of this package must therefore
import no datamanager, pipeline, trainer or method, directly or through others.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox

from ns_talking.data.cameras import portrait_cameras
from ns_talking.data.clip_track import clip_track
from ns_talking.data.format import Portrait
from ns_talking.data.segment import best_segment
from ns_talking.driving.features import AUTO
from ns_talking.utils.files import absolute_path
from ns_talking.utils.progress import CONSOLE

MOVED = "NS_TALKING_DATA"
"""Environment variable: where a dataset is now that is not where the training found it."""


@dataclass
class BasePortraitDataParserConfig(DataParserConfig):
    """Options that every portrait layout understands."""

    downscale_factor: int | None = None
    """Divide width and height of the images by this; None keeps the stored size."""
    features: str | None = None
    """Audio features to read from the dataset; None takes what the method asks for."""
    audio: Path | None = None
    """Drive the portrait with this sound instead of the clip's own; any container with an audio track."""
    eval_split: Literal["test", "validation"] = "test"
    """Frames to evaluate on: the held-out part of the clip, or the end of the training part, which is then left out
    of training. Choose settings on "validation"; report on "test"."""
    validation_fraction: float = 1 / 11
    """Share of the training frames, at their end, that eval-split "validation" holds out."""
    train_seconds: float | None = None
    """Train on the best piece of the training part that lasts this long (varied sound, wide lips, turning head); None
    takes all of it."""

    def __setattr__(self, name: str, value: Any) -> None:  # Any: whatever the field holds.
        """Keep paths absolute, so that a saved config works from every folder."""
        super().__setattr__(name, absolute_path(value) if name in ("data", "audio") else value)


@dataclass
class BasePortraitDataParser(DataParser):
    """Turns a portrait into Nerfstudio's outputs; subclasses read the portrait."""

    config: BasePortraitDataParserConfig
    includes_time: bool = True
    downscale_factor: int | None = None
    """Overrides the config's; Nerfstudio sets it when it renders."""

    @abstractmethod
    def read(self) -> Portrait:
        """Read the dataset; images stay on disk."""

    @cached_property
    def portrait(self) -> Portrait:
        """The dataset, with the validation part moved from training to test where that is asked for."""
        # Paths in a config.yml that was edited by hand are text.
        self.config.data, self.config.audio = Path(self.config.data), self.config.audio and Path(self.config.audio)
        if not self.config.data.is_dir():
            moved = os.environ.get(MOVED)
            if not moved or not Path(moved).is_dir():
                raise FileNotFoundError(
                    f"There is no dataset folder {self.config.data}{f', nor {MOVED}={moved}' if moved else ''}. If it "
                    f"moved, name its new place: --data FOLDER where the command has it, {MOVED}=FOLDER in front of "
                    "any command, or the lines `data:` of the config.yml that you are loading."
                )
            self.config.data = Path(moved)
        portrait = self.read()
        if self.config.eval_split == "validation":
            portrait = hold_out_validation(portrait, self.config.validation_fraction)
        if self.config.train_seconds is not None:
            portrait = train_on_best(portrait, self.config.train_seconds, self.config.features or AUTO)
        return portrait

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs: dict | None) -> DataparserOutputs:
        del kwargs
        portrait = self.portrait
        if self.config.audio is not None and not self.config.audio.is_file():
            raise FileNotFoundError(f"There is no sound file {self.config.audio}. Name an existing one with --audio.")
        frames = portrait.split("train" if split == "train" else "test")
        if not frames:
            raise ValueError(
                f"The dataset {portrait.folder} has no frames to evaluate on. Process a longer video, "
                "or evaluate on the end of the training part: --eval-split validation."
            )
        lower, upper = portrait.bounds
        return DataparserOutputs(
            image_filenames=[frame.image for frame in frames],
            cameras=portrait_cameras(portrait, [frame.index for frame in frames], self._downscale_factor()),
            scene_box=SceneBox(aabb=torch.tensor([lower, upper], dtype=torch.float32)),
            metadata={
                "portrait": portrait,
                "frames": frames,
                "features": self.config.features,
                "audio": self.config.audio,
            },
        )

    def _downscale_factor(self) -> int:
        return self.downscale_factor or self.config.downscale_factor or 1


def hold_out_validation(portrait: Portrait, fraction: float) -> Portrait:
    """Evaluate on the end of the training part instead of the test part, which nobody then sees.

    Args:
        portrait: The dataset as processed.
        fraction: Share of the training frames to hold out.

    Raises:
        ValueError: When the share leaves nothing to train or to evaluate on.
    """
    train = portrait.split("train")
    num_kept = len(train) - round(len(train) * fraction)
    if not 0 < num_kept < len(train):
        raise ValueError(
            f"A validation fraction of {fraction:g} of {len(train)} training frames leaves {num_kept} to train on "
            f"and {len(train) - num_kept} to validate on. Choose a fraction between 0 and 1."
        )
    kept = [frame if row < num_kept else replace(frame, split="test") for row, frame in enumerate(train)]
    return replace(portrait, frames=kept)


def train_on_best(portrait: Portrait, seconds: float, features: str) -> Portrait:
    """Leave out the training frames outside the best piece of the clip; see `best_segment`.

    Args:
        portrait: The dataset.
        seconds: Length of the piece.
        features: Name of the audio features that tell sounds apart; `auto` takes the best that the dataset holds.
    """
    track = clip_track(portrait, features)
    parts = torch.arange(portrait.num_frames).split(256)
    # Of the windows around a frame the middle one, without its course.
    sound = torch.cat([track.at_frames(part).audio[:, track.context // 2].mean(dim=-1) for part in parts])
    kept = set(best_segment(portrait, sound.numpy(), seconds))
    chosen = [frame for frame in portrait.frames if frame.split != "train" or frame.index in kept]
    first, last = min(kept), max(kept) + 1
    CONSOLE.print(
        f"Training on {len(kept)} of {len(portrait.split('train'))} frames, from {first / portrait.fps:.1f} s to "
        f"{last / portrait.fps:.1f} s of the clip."
    )
    return replace(portrait, frames=chosen)
