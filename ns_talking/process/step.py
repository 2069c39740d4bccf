"""What a step of `ns-talking process` is, and the workspace that all steps share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from ns_talking.data.format import CLASSES, FRAME_RATE_HZ
from ns_talking.utils.files import atomic_path

FPS = FRAME_RATE_HZ
"""Frame rate of every dataset; videos of any other rate are resampled to it by time."""


@dataclass(frozen=True)
class ProcessSettings:
    """Everything a user can choose about processing; a step names what affects it in `settings_key`."""

    size: int = 512
    """Longer side of the frames in pixels (frames are square unless `crop` is `none`)."""
    start_s: float = 0.0
    """Where in the video the clip starts, in seconds."""
    max_seconds: float | None = None
    """Length of the clip in seconds at most; None takes the rest of the video."""
    crop: Literal["auto", "head", "none"] = "auto"
    """`head` cuts a square around the head, `none` keeps the whole frame, `auto` cuts unless the video is a square
    that the head fills well already."""
    focal: float | None = None
    """Focal length in pixels at the size of the frames; None estimates it."""
    landmarks: str = "mediapipe"
    """Name of the landmark detector in `LANDMARKS`."""
    models: Path | None = None
    """Folder with model files, searched before `NS_TALKING_MODELS` and the cache."""
    parsing: str = "auto"
    """Name of the parsing backend; `auto` takes the best one whose model is there."""
    face_parser: Path | None = None
    """Folder of a network that tells the classes of the face; None leaves them to the landmarks."""
    audio_features: tuple[str, ...] = ("mel",)
    """Names of the audio features to extract."""
    held_out: float = 1 / 11
    """Share of the frames, at the end of the clip, that is held out from training."""
    allow_silent: bool = False
    """Whether a video without sound is accepted (its soundtrack is then silence)."""


@dataclass(frozen=True)
class Clip:
    """What the frames step found out about the clip; every later step reads it instead of the video."""

    num_frames: int
    """Number of frames of the dataset, usable or not."""
    width: int
    """Width of the frames in pixels."""
    height: int
    """Height of the frames in pixels."""
    fps: float
    """Frame rate of the dataset, always 25."""
    start_s: float
    """Instant of frame 0 on the clock of the video file (its timestamps), in seconds."""
    source_fps: float
    """Mean frame rate of the video."""
    source_size: tuple[int, int]
    """Width and height of the upright video in pixels."""
    crop: tuple[float, float, float, float]
    """x0, y0, x1, y1 of the region of the upright video that the frames show, in its pixels."""

    @property
    def duration_s(self) -> float:
        """Length of the clip in seconds; frame k shows the instant k / fps."""
        return self.num_frames / self.fps


@dataclass(frozen=True)
class Workspace:
    """A dataset under construction: where each file is, and the settings it is made with."""

    folder: Path
    """The dataset's folder."""
    video: Path
    """The video that it is made from."""
    settings: ProcessSettings

    @property
    def images(self) -> Path:
        """Folder of the frames, `000000.jpg` and so on."""
        return self.folder / "images"

    @property
    def parsing(self) -> Path:
        """Folder of the parsing maps, `000000.png` and so on, one `Region` value a pixel."""
        return self.folder / "parsing"

    @property
    def classes(self) -> Path:
        """Folder of a face parser's classes, `000000.png` and so on, one `FaceClass` value a pixel."""
        return self.folder / CLASSES

    @property
    def torso(self) -> Path:
        """Folder of the torso layers, `000000.png` and so on, RGBA."""
        return self.folder / "torso"

    @property
    def features(self) -> Path:
        """Folder of the audio features, `mel.npy` and so on."""
        return self.folder / "features"

    @property
    def background(self) -> Path:
        """The background plate."""
        return self.folder / "background.png"

    @property
    def audio(self) -> Path:
        """The soundtrack, 16 kHz mono; its sample 0 is the instant of frame 0."""
        return self.folder / "audio.wav"

    @property
    def landmarks(self) -> Path:
        """Landmarks, float32 [frames, points, 3], NaN where no face was found."""
        return self.folder / "landmarks.npy"

    @property
    def head_poses(self) -> Path:
        """Camera-to-world matrices [frames, 4, 4], interpolated where no face was found."""
        return self.folder / "head_poses.npy"

    @property
    def blink(self) -> Path:
        """Blink track, float32 [frames], 1 = closed."""
        return self.folder / "blink.npy"

    @property
    def transforms(self) -> Path:
        """The index of the dataset, readable by Nerfstudio."""
        return self.folder / "transforms.json"

    @property
    def manifest(self) -> Path:
        """How the dataset was made: settings, versions, hashes, seconds, figures."""
        return self.folder / "manifest.json"

    @property
    def report(self) -> Path:
        """The report to be looked at by the user."""
        return self.folder / "report.html"

    def work(self, name: str) -> Path:
        """Path of an intermediate file that is not part of the dataset proper."""
        return self.folder / "work" / name

    def image(self, index: int) -> Path:
        """Path of a frame."""
        return self.images / f"{index:06d}.jpg"

    def read_image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """Decode a frame, RGB."""
        import cv2

        bgr = cv2.imread(str(self.image(index)), cv2.IMREAD_COLOR)
        if bgr is None:
            raise FileNotFoundError(
                f"{self.image(index)} is missing or damaged. Run `ns-talking process` again with --overwrite."
            )
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def clip(self) -> Clip:
        """Read what the frames step recorded about the clip."""
        found = json.loads(self.work("clip.json").read_text(encoding="utf-8"))
        found["source_size"] = tuple(found["source_size"])
        found["crop"] = tuple(found["crop"])
        return Clip(**found)


@runtime_checkable
@runtime_checkable
class Progress(Protocol):
    """Opens a progress bar; `ns_talking.utils.progress.progress` is one."""

    def __call__(self, description: str, *, total: int, unit: str) -> AbstractContextManager[Callable[..., None]]: ...


@runtime_checkable
class Step(Protocol):
    """One step: reads the outputs of earlier steps, writes its own, returns figures for the manifest.

    A step writes through `atomic_path` or `atomic_folder`, so that an interruption leaves nothing half written.
    """

    name: str
    """Its key in `STEPS`."""
    needs: tuple[str, ...]
    """Names of the steps whose outputs it reads."""
    version: int
    """Raised by hand whenever the same settings would give other outputs; old outputs are then made again."""

    def outputs(self, workspace: Workspace) -> list[Path]:
        """Files and folders that exist when the step is done."""
        ...

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Only the settings that affect its outputs, JSON-serialisable."""
        ...

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Do the step.

        Returns:
            Figures for the manifest, JSON-serialisable. The key "notes" may hold a list of sentences for the user.
        """
        ...


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `folder` that takes its place when the block succeeds.

    Args:
        folder: The folder to be made or replaced as a whole.
    """
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        yield temporary
