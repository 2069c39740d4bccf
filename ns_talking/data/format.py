"""The dataset folder of a portrait: names, types, units, version, reading and writing.

```text
transforms.json    cameras, in Nerfstudio's own layout, with the extra keys below
images/%06d.jpg    frames, RGB                       parsing/%06d.png  one byte per pixel: a `Region`
torso/%06d.png     RGBA: neck and torso, with the strip hidden by the chin filled in
classes/%06d.png   one byte per pixel: a `FaceClass` of `ns_talking.data.face_classes`; optional
background.png     the scene without the person
landmarks.npy      float32 [frames, points, 3]: x, y in px (pixel centres at +0.5), relative depth; NaN without a face
head_poses.npy     float64 [frames, 4, 4]: camera-to-world, OpenGL axes, interpolated where there is no face
blink.npy          float32 [frames]: 0 open, 1 closed
audio.wav          16 kHz, mono; its first sample is the instant of frame 0
subject.json       who is shown, and what that person agreed to; optional
features/NAME.npy  float32 [steps, channels]: frozen audio features; NAME.json says which network made them, if one did
```

Arrays have a row for every frame of the clip. `transforms.json` lists the usable frames alone, each with its
`frame_index`, so that a missing face never shifts an index.

World: the head stands still with its centre at the origin, x to the image's right, y to the back of the head (the face
looks along -y), z up; 1 unit is 25 cm, which is ER-NeRF's scale, so the outer corners of the eyes are 0.467 apart and
the camera is about 3.3 away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from ns_talking.utils.arrays import read_array
from ns_talking.utils.files import write_json

FORMAT_NAME = "ns-talking"
FORMAT_VERSION = 1
FRAME_RATE_HZ = 25.0
SAMPLE_RATE_HZ = 16_000
OUTER_EYE_DISTANCE = 0.467
"""Distance of the outer eye corners in world units; fixes the scale of a tracked head."""
DEFAULT_BOUNDS = ((-1.0, -0.8, -1.0), (1.0, 0.55, 1.0))
"""Box around a head with hair. It is halved along the depth axis, as ER-NeRF's."""

TRANSFORMS = "transforms.json"
IMAGES = "images"
PARSING = "parsing"
CLASSES = "classes"
TORSO = "torso"
BACKGROUND = "background.png"
LANDMARKS = "landmarks.npy"
HEAD_POSES = "head_poses.npy"
BLINK = "blink.npy"
AUDIO = "audio.wav"
FEATURES = "features"
MANIFEST = "manifest.json"
SUBJECT = "subject.json"
"""Who is shown and agreed to what, as in `ns_talking.data.subject`; optional."""
REPORT = "report.html"

Split = Literal["train", "test"]
_LARGEST = 16_384
"""Side of an image in px that is still believed."""


class Region(IntEnum):
    """Values of a parsing image."""

    BACKGROUND = 0
    HEAD = 1
    """Skin of the face, ears and hair."""
    TORSO = 2
    """Neck, shoulders and clothes."""
    LIPS = 3
    EYES = 4
    INNER_MOUTH = 5


HEAD_REGIONS = (Region.HEAD, Region.LIPS, Region.EYES, Region.INNER_MOUTH)
"""Regions that the head's radiance field has to explain."""


@dataclass(frozen=True)
class PortraitFrame:
    """One usable frame of a clip."""

    index: int
    """Position in the clip, counted from 0 over all frames."""
    image: Path
    parsing: Path
    torso: Path | None
    """None where a layout has no torso layer: then it is the torso as filmed, without the strip under the chin."""
    split: Split
    classes: Path | None = None
    """None where classes are drawn from landmarks."""


@dataclass(frozen=True)
class Portrait:
    """Everything a dataset folder holds, images as paths."""

    folder: Path
    width: int
    height: int
    focal_px: float
    fps: float
    num_frames: int
    """All frames of the clip, usable or not."""
    frames: list[PortraitFrame]
    background: Path
    landmarks: Float[np.ndarray, "frames points 3"]
    """Left on disk where the layout holds them in one table: an hour of them is half a gigabyte."""
    landmark_scheme: str
    """Name of a scheme in `ns_talking.data.landmarks`."""
    head_poses: Float[np.ndarray, "frames 4 4"]
    """Camera-to-world, OpenGL axes."""
    blink: Float[np.ndarray, " frames"]
    audio: Path | None
    feature_files: dict[str, Path] = field(default_factory=dict)
    """Frozen audio features by name."""
    feature_identities: dict[str, str] = field(default_factory=dict)
    """Which extractor, with which settings and weights, made them."""
    bounds: tuple[tuple[float, ...], tuple[float, ...]] = DEFAULT_BOUNDS
    """Lower and upper corner of the head's box, in world units."""
    audio_frames: Int[np.ndarray, " frames"] | None = None
    """Which frame's instant of the sound belongs to each frame; None where it is the frame's own."""
    image_layout: Literal["ns-talking", "ad-nerf"] = "ns-talking"
    """How parsing images encode regions: as `Region` values, or as AD-NeRF's colours."""

    @property
    def duration_s(self) -> float:
        """Length of the clip in seconds."""
        return self.num_frames / self.fps

    def split(self, name: Split) -> list[PortraitFrame]:
        """List the frames of one part of the clip, in time order."""
        return [frame for frame in self.frames if frame.split == name]


def frame_time(index: int | np.ndarray, num_frames: int) -> Any:  # Any: a float for an int, an array for an array.
    """Place a frame in [0, 1] over the audio track, as Nerfstudio's cameras want it."""
    return index / num_frames


def image_name(index: int, suffix: str) -> str:
    """Name the image of a frame, for example `000007.jpg`."""
    return f"{index:06d}{suffix}"


def write_transforms(
    folder: Path,
    *,
    width: int,
    height: int,
    focal_px: float,
    num_frames: int,
    head_poses: Float[np.ndarray, "frames 4 4"],
    splits: Mapping[int, Split],
    landmark_scheme: str,
    feature_identities: Mapping[str, str],
    fps: float = FRAME_RATE_HZ,
    bounds: tuple[tuple[float, ...], tuple[float, ...]] = DEFAULT_BOUNDS,
) -> None:
    """Write `transforms.json`, which makes a folder of processed frames a dataset.

    Args:
        folder: The dataset; images, parsing and the rest are in place already.
        width: Width of the images in px.
        height: Height of the images in px.
        focal_px: Focal length in px; the principal point is the image's centre.
        num_frames: All frames of the clip, usable or not.
        head_poses: Camera-to-world of every frame, OpenGL axes.
        splits: Part of each usable frame, by frame index; frames not named are left out.
        landmark_scheme: Name of the scheme that `landmarks.npy` follows.
        feature_identities: Identity of the extractor of each file in `features/`, by name.
        fps: Frames per second.
        bounds: Corners of the head's box in world units.
    """
    frames = [
        {
            "file_path": f"{IMAGES}/{image_name(index, '.jpg')}",
            "transform_matrix": np.asarray(head_poses[index], dtype=np.float64).tolist(),
            "time": frame_time(index, num_frames),
            "frame_index": index,
            "split": splits[index],
        }
        for index in sorted(splits)
    ]
    content = {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "camera_model": "OPENCV",
        "w": width,
        "h": height,
        "fl_x": focal_px,
        "fl_y": focal_px,
        "cx": width / 2,
        "cy": height / 2,
        "fps": fps,
        "num_frames": num_frames,
        "bounds": [list(corner) for corner in bounds],
        "landmark_scheme": landmark_scheme,
        "features": dict(feature_identities),
        "frames": frames,
    }
    write_json(folder / TRANSFORMS, content)


def read_portrait(folder: Path) -> Portrait:
    """Read a dataset folder; images stay on disk.

    Args:
        folder: A folder that `ns-talking process` or `ns-talking demo` wrote.

    Raises:
        FileNotFoundError: When the folder or one of its files is missing.
        ValueError: When the folder holds another format or a newer version, or its arrays do not fit together.
    """
    folder = folder.expanduser().resolve()
    content = _read_transforms(folder)
    try:
        portrait = _portrait(folder, content)
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{folder / TRANSFORMS} is damaged ({reason}). Process the video again.") from error
    check(portrait)
    return portrait


def _portrait(folder: Path, content: dict[str, Any]) -> Portrait:  # Any: JSON.
    """Take a portrait from what its transforms.json says; whatever is odd in there raises."""
    _check_numbers(folder / TRANSFORMS, content)
    num_frames = int(content["num_frames"])
    suffix, has_classes = ".png", (folder / CLASSES).is_dir()
    frames = [
        PortraitFrame(
            index=int(frame["frame_index"]),
            image=folder / frame["file_path"],
            parsing=folder / PARSING / image_name(int(frame["frame_index"]), suffix),
            torso=folder / TORSO / image_name(int(frame["frame_index"]), suffix),
            split=frame["split"],
            classes=folder / CLASSES / image_name(int(frame["frame_index"]), suffix) if has_classes else None,
        )
        for frame in content["frames"]
    ]
    audio = folder / AUDIO
    return Portrait(
        folder=folder,
        width=int(content["w"]),
        height=int(content["h"]),
        focal_px=float(content["fl_x"]),
        fps=float(content["fps"]),
        num_frames=num_frames,
        frames=frames,
        background=folder / BACKGROUND,
        landmarks=_read_array(folder / LANDMARKS, (num_frames, None, 3), mapped=True),
        landmark_scheme=content["landmark_scheme"],
        head_poses=_read_array(folder / HEAD_POSES, (num_frames, 4, 4)),
        blink=_read_array(folder / BLINK, (num_frames,)),
        audio=audio if audio.is_file() else None,
        feature_files={name: folder / FEATURES / f"{name}.npy" for name in content["features"]},
        feature_identities=dict(content["features"]),
        bounds=(tuple(content["bounds"][0]), tuple(content["bounds"][1])),
    )


def _check_numbers(path: Path, content: dict[str, Any]) -> None:  # Any: JSON.
    """Refuse numbers that no dataset has, before memory is asked for by them."""
    limits = {"w": (1, _LARGEST), "h": (1, _LARGEST), "num_frames": (1, 10**8), "fps": (1, 1000), "fl_x": (1e-3, 1e6)}
    for name, (least, most) in limits.items():
        value = content[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(f"{path} says {name} = {str(value)[:40]}, which no dataset has. Process the video again.")
    try:
        corners = np.array(content["bounds"], dtype=np.float64)
    except (ValueError, TypeError):
        corners = np.zeros(0)
    if corners.shape != (2, 3) or not np.isfinite(corners).all() or not (corners[0] < corners[1]).all():
        raise ValueError(f"{path} says bounds = {str(content['bounds'])[:60]}, which is no box. Process it again.")
    for frame in content["frames"]:
        place = Path(frame["file_path"])
        if frame["split"] not in get_args(Split) or place.is_absolute() or ".." in place.parts:
            raise ValueError(
                f"{path} lists a frame {str(place)[:60]!r} of the part {str(frame['split'])[:20]!r}: parts are train "
                "and test, and files lie inside the dataset. Process the video again."
            )


def check(portrait: Portrait) -> None:
    """Refuse a dataset whose files are missing or whose frames are out of range.

    Raises:
        FileNotFoundError: When a file that a frame names does not exist.
        ValueError: When there is no frame to train on, or an index lies outside the clip.
    """
    if not portrait.split("train"):
        raise ValueError(f"{portrait.folder / TRANSFORMS} lists no training frames. Process the video again.")
    indices = [frame.index for frame in portrait.frames]
    if len(set(indices)) != len(indices) or min(indices) < 0 or max(indices) >= portrait.num_frames:
        raise ValueError(
            f"{portrait.folder / TRANSFORMS} lists frame indices that repeat or lie outside 0 .. "
            f"{portrait.num_frames - 1}. Process the video again."
        )
    paths = [portrait.background, *portrait.feature_files.values()]
    paths += [path for frame in portrait.frames for path in (frame.image, frame.parsing, frame.torso, frame.classes)]
    missing = [path for path in paths if path is not None and not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} file(s) of the dataset {portrait.folder} are missing, the first is {missing[0]}. "
            "Run `ns-talking process` on the video again; it makes only what is missing."
        )


def _read_transforms(folder: Path) -> dict[str, Any]:  # Any: JSON.
    path = folder / TRANSFORMS
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is not a portrait dataset: it holds no {TRANSFORMS}. "
            f"Make one from a video: ns-talking process VIDEO --output {folder}"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Process the video again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT_NAME:
        raise ValueError(
            f"{path} was not written by ns-talking, so time, landmarks and sound are missing. "
            "Process the video with `ns-talking process`, or name another dataparser, for example `ad-nerf`."
        )
    version = content.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {str(version)[:20]}, this ns-talking reads up to {FORMAT_VERSION}. "
            "Upgrade: pip install --upgrade ns-talking"
        )
    return content


def _read_array(path: Path, shape: tuple[int | None, ...], mapped: bool = False) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"The dataset lacks {path}. Run `ns-talking process` on the video again.")
    array = read_array(path, mapped)
    if array.ndim != len(shape) or any(want not in (None, side) for want, side in zip(shape, array.shape, strict=True)):
        wanted = " x ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(
            f"{path} has the shape {' x '.join(map(str, array.shape))}, the clip needs {wanted} (frames first). "
            "Run `ns-talking process` again."
        )
    return array
