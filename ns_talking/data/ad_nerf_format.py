"""The dataset layout of AD-NeRF, RAD-NeRF, ER-NeRF and SyncTalk: names, axes, units, reading.

```text
transforms_train.json, transforms_val.json   focal_len, cx, cy; per frame img_id, aud_id, transform_matrix
gt_imgs/%d.jpg      frames over the background plate        ori_imgs/%d.jpg   frames as filmed
ori_imgs/%d.lms     68 landmarks, one "x y" per line        parsing/%d.png    blue head, green neck, red torso, white
torso_imgs/%d.png   RGBA torso                              bc.jpg            background plate
aud.wav             sound                                   aud_*.npy         windows of audio features per frame
au.csv              OpenFace action units                   bs.npy            MediaPipe blendshapes (SyncTalk)
```

`features/NAME.npy` are not theirs: tables that we extract from aud.wav, in our own format.

Their world is the face's: x to the image's right, y up, z out of the face, in metres; cameras have OpenGL axes. Ours
turns it so that y points to the back of the head and z up, and makes 25 cm the unit.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from ns_talking.data.format import FEATURES, FRAME_RATE_HZ, Portrait, PortraitFrame, Split
from ns_talking.data.landmarks import eye_opening, scheme
from ns_talking.utils.arrays import read_array

TRAIN_TRANSFORMS = "transforms_train.json"
TEST_TRANSFORMS = "transforms_val.json"
FILMED = "ori_imgs"
COMPOSITED = "gt_imgs"
PARSING = "parsing"
TORSO = "torso_imgs"
BACKGROUND = "bc.jpg"
AUDIO = "aud.wav"
ACTION_UNITS = "au.csv"
BLINK_COLUMN = "AU45_r"
BLENDSHAPES = "bs.npy"
FEATURE_FILES = {
    "deepspeech": "aud_ds.npy",
    "esperanto": "aud_eo.npy",
    "hubert": "aud_hu.npy",
    "ave": "aud_ave.npy",
    "ad-nerf": "aud.npy",
}
"""Pre-cut windows [frames, window, channels] by the name of the features."""

UNITS_PER_METRE = 4.0
FACE_TO_WORLD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Rotation from the face's axes (x right, y up, z out of the face) to our world's."""
CLOSED_INTENSITY = 2.0
"""Intensity of action unit 45 that counts as a closed eye; ER-NeRF clips there."""
_BLENDSHAPE_COLUMNS = [8, 9]  # eyeBlinkLeft, eyeBlinkRight; SyncTalk drops the neutral one before them.
_OPEN_QUANTILE, _CLOSED_RATIO, _OPEN_RATIO = 0.9, 0.35, 0.8


def to_our_world(poses: Float[np.ndarray, "frames 4 4"]) -> Float[np.ndarray, "frames 4 4"]:
    """Turn camera-to-face matrices in metres into camera-to-world of our world."""
    turned = np.tile(np.eye(4), (len(poses), 1, 1))
    turned[:, :3, :3] = FACE_TO_WORLD @ poses[:, :3, :3]
    turned[:, :3, 3] = poses[:, :3, 3] @ FACE_TO_WORLD.T * UNITS_PER_METRE
    return turned


def to_their_world(poses: Float[np.ndarray, "frames 4 4"]) -> Float[np.ndarray, "frames 4 4"]:
    """Turn camera-to-world matrices of our world into camera-to-face in metres: the inverse of `to_our_world`."""
    turned = np.tile(np.eye(4), (len(poses), 1, 1))
    turned[:, :3, :3] = FACE_TO_WORLD.T @ poses[:, :3, :3]
    turned[:, :3, 3] = poses[:, :3, 3] @ FACE_TO_WORLD / UNITS_PER_METRE
    return turned


def read_ad_nerf(folder: Path) -> Portrait:
    """Read a folder of the AD-NeRF family; images stay on disk.

    Args:
        folder: As their preprocessing left it.

    Raises:
        FileNotFoundError: When a file is missing; the message names the step of their tool that writes it.
        ValueError: When a file does not fit the others.
    """
    folder = folder.expanduser().resolve()
    try:
        return _portrait(folder)
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{folder / TRAIN_TRANSFORMS} or what lies beside it is damaged ({reason}). Run their process.py --task 9 "
            "again."
        ) from error


def _portrait(folder: Path) -> Portrait:
    contents: dict[Split, dict[str, Any]] = {"train": _read_json(folder / TRAIN_TRANSFORMS)}
    if (folder / TEST_TRANSFORMS).is_file():
        contents["test"] = _read_json(folder / TEST_TRANSFORMS)
    listed: list[tuple[int, Split, dict[str, Any]]] = sorted(
        (
            (_whole(frame["img_id"], folder), split, frame)
            for split, content in contents.items()
            for frame in content["frames"]
        ),
        key=lambda item: item[0],
    )
    numbers = [index for index, _, _ in listed]
    if len(set(numbers)) != len(numbers) or min(numbers, default=0) < 0 or max(numbers, default=0) > 10**8:
        raise ValueError(f"{folder / TRAIN_TRANSFORMS} lists images {min(numbers)} .. {max(numbers)}, some twice.")
    if not listed:
        raise ValueError(f"{folder / TRAIN_TRANSFORMS} lists no frames. Run their process.py --task 9 again.")
    indices = np.array([index for index, _, _ in listed])
    images = folder / (COMPOSITED if (folder / COMPOSITED).is_dir() else FILMED)
    background = _existing(folder / BACKGROUND, "--task 5 (extract the background image)")
    width, height = _image_size(_existing(images / f"{indices[0]}.jpg", "--task 3 (extract images)"))
    num_frames = max(int(indices[-1]) + 1, _count_frames(folder / FILMED), _count_frames(images))
    torso = folder / TORSO
    frames = [
        PortraitFrame(
            index=index,
            image=images / f"{index}.jpg",
            parsing=folder / PARSING / f"{index}.png",
            torso=torso / f"{index}.png" if torso.is_dir() else None,
            split=split,
        )
        for index, split, _ in listed
    ]
    _existing(frames[0].parsing, "--task 4 (face parsing)")
    poses = to_our_world(np.array([_matrix(frame, folder) for _, _, frame in listed]))
    landmarks = _read_landmarks(folder / FILMED, indices, num_frames)
    files = {name: folder / file for name, file in FEATURE_FILES.items() if (folder / file).is_file()}
    files |= {path.stem: path for path in sorted((folder / FEATURES).glob("*.npy"))}
    audio = folder / AUDIO
    return Portrait(
        folder=folder,
        width=width,
        height=height,
        focal_px=_focal_px(contents["train"], width, height, folder / TRAIN_TRANSFORMS),
        fps=FRAME_RATE_HZ,
        num_frames=num_frames,
        frames=frames,
        background=background,
        landmarks=landmarks,
        landmark_scheme="ibug68",
        head_poses=_fill_poses(indices, poses, num_frames),
        blink=_read_blink(folder, landmarks),
        audio=audio if audio.is_file() else None,
        audio_frames=_audio_frames([frame for _, _, frame in listed], indices, num_frames, folder),
        feature_files=files,
        image_layout="ad-nerf",
    )


def _whole(value: Any, folder: Path) -> int:  # Any: JSON.
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or int(value) != value:
        raise ValueError(
            f"{folder / TRAIN_TRANSFORMS} names the image or sound {str(value)[:40]!r}, which is no number."
        )
    return int(value)


def _matrix(frame: dict[str, Any], folder: Path) -> np.ndarray:  # Any: JSON.
    try:
        matrix = np.array(frame["transform_matrix"], dtype=np.float64)
    except (ValueError, TypeError, KeyError):
        matrix = np.zeros(0)
    rotates = matrix.shape == (4, 4) and np.isfinite(matrix).all() and np.linalg.det(matrix[:3, :3]) > 0.5
    if not rotates:
        raise ValueError(
            f"{folder / TRAIN_TRANSFORMS} gives image {str(frame['img_id'])[:20]} a pose that is no rotation with a "
            "place. Run their process.py --task 9 again."
        )
    return matrix


def _existing(path: Path, task: str) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. AD-, RAD- and ER-NeRF's `data_utils/process.py VIDEO {task}` writes it; "
            "or process the video with `ns-talking process`, which needs none of their tools."
        )
    return path


def _read_json(path: Path) -> dict[str, Any]:  # Any: JSON.
    _existing(path, "--task 9 (save transforms)")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Run their process.py --task 9 again.") from error
    frames = content.get("frames", [{}]) if isinstance(content, dict) else None
    if not isinstance(frames, list) or any(not isinstance(frame, dict) or "img_id" not in frame for frame in frames):
        raise ValueError(
            f"{path} does not name `img_id` for every frame, so it is not of the AD-NeRF family. "
            "For our own datasets use the dataparser `talking-portrait`."
        )
    return content


def _focal_px(content: dict[str, Any], width: int, height: int, path: Path) -> float:
    names = ("cx", "cy", "focal_len", "fl_x", "camera_angle_x")
    numbers = {name: content[name] for name in names if name in content}
    odd = [name for name, value in numbers.items() if not isinstance(value, int | float) or not 0 < value < 1e6]
    if odd:
        raise ValueError(f"{path} says {odd[0]} = {str(numbers[odd[0]])[:40]}. Run their process.py --task 9 again.")
    centre = float(content.get("cx", width / 2)), float(content.get("cy", height / 2))
    if max(abs(centre[0] - width / 2), abs(centre[1] - height / 2)) > 1:
        raise ValueError(
            f"{path} puts the principal point at {centre[0]:g}, {centre[1]:g} px, but the images have {width}x{height} "
            "px. Images and transforms must come from the same run of their process.py."
        )
    for key in ("focal_len", "fl_x"):
        if key in content:
            return float(content[key])
    if "camera_angle_x" in content:
        return width / 2 / math.tan(float(content["camera_angle_x"]) / 2)
    raise ValueError(f"{path} states no focal length (focal_len). Run their process.py --task 8 and --task 9 again.")


def _image_size(path: Path) -> tuple[int, int]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} is no image. Run their process.py --task 3 (extract images) again.")
    return image.shape[1], image.shape[0]


def _count_frames(folder: Path) -> int:
    return max((int(path.stem) + 1 for path in folder.glob("*.jpg") if path.stem.isdigit()), default=0)


def _read_landmarks(folder: Path, indices: np.ndarray, num_frames: int) -> np.ndarray:
    landmarks = np.full((num_frames, 68, 3), np.nan, dtype=np.float32)
    for index in indices:
        path = _existing(folder / f"{index}.lms", "--task 7 (extract face landmarks)")
        values = np.array(path.read_text(encoding="ascii").split(), dtype=np.float32)
        if values.size != 136:
            raise ValueError(
                f"{path} holds {values.size} numbers, 68 landmarks are 136. Run their process.py --task 7 again."
            )
        landmarks[index, :, :2] = values.reshape(68, 2)
        landmarks[index, :, 2] = 0
    return landmarks


def _fill_poses(indices: np.ndarray, poses: np.ndarray, num_frames: int) -> np.ndarray:
    """Give frames without a pose one between their neighbours', or that of the nearest at the ends."""
    from scipy.spatial.transform import Rotation, Slerp  # Every ns-* command imports this module.

    if len(indices) == 1:
        return np.repeat(poses, num_frames, axis=0)
    wanted = np.clip(np.arange(num_frames), indices[0], indices[-1])
    filled = np.tile(np.eye(4), (num_frames, 1, 1))
    filled[:, :3, :3] = Slerp(indices, Rotation.from_matrix(poses[:, :3, :3]))(wanted).as_matrix()
    for axis in range(3):
        filled[:, axis, 3] = np.interp(wanted, indices, poses[:, axis, 3])
    filled[indices] = poses
    return filled


def _audio_frames(
    listed: list[dict[str, Any]], indices: np.ndarray, num_frames: int, folder: Path
) -> np.ndarray | None:
    """Place the sound of every frame: its `aud_id`, and that of the nearest listed frame moved along in between."""
    audio = np.array([_whole(frame.get("aud_id", frame["img_id"]), folder) for frame in listed])
    if (audio == indices).all():
        return None
    nearest = np.abs(np.arange(num_frames)[:, None] - indices[None]).argmin(axis=1)
    return np.maximum(audio[nearest] + np.arange(num_frames) - indices[nearest], 0)


def _read_blink(folder: Path, landmarks: np.ndarray) -> np.ndarray:
    """Read the blink from OpenFace's action unit 45, SyncTalk's blendshapes, or measure it on the eyelids."""
    num_frames = len(landmarks)
    if (folder / ACTION_UNITS).is_file():
        values = _action_unit(folder / ACTION_UNITS) / CLOSED_INTENSITY
    elif (folder / BLENDSHAPES).is_file():
        values = read_array(folder / BLENDSHAPES)[:, _BLENDSHAPE_COLUMNS].mean(axis=1)
    else:
        opening = eye_opening(landmarks, scheme("ibug68"))
        ratio = opening / np.nanquantile(opening, _OPEN_QUANTILE)
        values = np.nan_to_num((_OPEN_RATIO - ratio) / (_OPEN_RATIO - _CLOSED_RATIO), nan=0.0)
    blink = np.zeros(num_frames, dtype=np.float32)
    known = min(num_frames, len(values))
    blink[:known] = np.clip(values[:known], 0, 1)
    return blink


def _action_unit(path: Path) -> np.ndarray:
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        names = {name.strip(): name for name in rows.fieldnames or []}
        if BLINK_COLUMN not in names:
            raise ValueError(
                f"{path} has no column {BLINK_COLUMN}. Run OpenFace's FeatureExtraction with action units on the "
                "video, or remove the file to measure blinks on the eyelids."
            )
        return np.array([float(row[names[BLINK_COLUMN]]) for row in rows], dtype=np.float32)
