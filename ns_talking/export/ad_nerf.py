"""A portrait in the layout of AD-NeRF, RAD-NeRF, ER-NeRF and SyncTalk.

Not written, since nothing of ours stands for it: `track_params.pt` (expression coefficients of the licensed Basel
face model) and the features of speech networks whose weights we do not have; `aud_mel.npy` holds windows of ours.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ns_talking.data import ad_nerf_format as layout
from ns_talking.data.clip_track import clip_track
from ns_talking.data.decoding import FrameDecoder
from ns_talking.data.format import IMAGES, SUBJECT, Portrait, PortraitFrame, Region, Split, image_name
from ns_talking.data.landmarks import scheme
from ns_talking.utils.files import atomic_path, write_json
from ns_talking.utils.images import write_image

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
_COLOURS = np.zeros((len(Region), 3), dtype=np.uint8)
"""Blue, green, red of each region."""
_COLOURS[:] = (255, 0, 0)
_COLOURS[Region.BACKGROUND] = (255, 255, 255)
_COLOURS[Region.TORSO] = (0, 0, 255)


def export_ad_nerf(portrait: Portrait, output: Path, advance: Callable[[], None]) -> None:
    """Write a portrait as AD-NeRF's preprocessing would have left it.

    Neck and torso are one region of ours; both become their torso.

    Args:
        portrait: The dataset.
        output: Folder to write; it appears only when it is complete.
        advance: Called after every frame.

    Raises:
        FileExistsError: When there is something at `output` already.
    """
    if output.exists():
        raise FileExistsError(f"{output} exists already. Remove it, or choose another --output.")
    with atomic_path(output) as folder:
        for name in (layout.FILMED, layout.COMPOSITED, layout.PARSING, layout.TORSO):
            (folder / name).mkdir(parents=True)
        decoder = FrameDecoder(portrait, portrait.width, portrait.height)
        _write_image(folder / layout.BACKGROUND, decoder.background[..., ::-1])
        _copy_unusable(portrait, folder)
        for frame in portrait.frames:
            _write_frame(portrait, frame, decoder, folder)
            advance()
        _write_blink(folder / layout.ACTION_UNITS, portrait)
        _write_features(folder, portrait)
        if portrait.audio is not None:
            shutil.copyfile(portrait.audio, folder / layout.AUDIO)
        if (portrait.folder / SUBJECT).is_file():
            shutil.copyfile(portrait.folder / SUBJECT, folder / SUBJECT)
        write_json(folder / layout.TRAIN_TRANSFORMS, _transforms(portrait, "train"))
        write_json(folder / layout.TEST_TRANSFORMS, _transforms(portrait, "test"))


def _write_frame(portrait: Portrait, frame: PortraitFrame, decoder: FrameDecoder, folder: Path) -> None:
    packed = decoder.decode(frame)
    shutil.copyfile(frame.image, folder / layout.FILMED / f"{frame.index}.jpg")
    _write_image(folder / layout.COMPOSITED / f"{frame.index}.jpg", packed[..., 2::-1])
    _write_image(folder / layout.TORSO / f"{frame.index}.png", packed[..., [5, 4, 3, 6]])
    _write_image(folder / layout.PARSING / f"{frame.index}.png", _COLOURS[packed[..., 7]])
    points = portrait.landmarks[frame.index, scheme(portrait.landmark_scheme).ibug68, :2]
    lines = [f"{x:.4f} {y:.4f}\n" for x, y in points]
    (folder / layout.FILMED / f"{frame.index}.lms").write_text("".join(lines), encoding="ascii")


def _copy_unusable(portrait: Portrait, folder: Path) -> None:
    """Frames without a face keep their image, so that the clip keeps its length."""
    usable = {frame.index for frame in portrait.frames}
    for index in set(range(portrait.num_frames)) - usable:
        ours = portrait.image_layout == "ns-talking"
        name = Path(IMAGES, image_name(index, ".jpg")) if ours else Path(layout.FILMED, f"{index}.jpg")
        filmed = portrait.folder / name
        if filmed.is_file():
            shutil.copyfile(filmed, folder / layout.FILMED / f"{index}.jpg")


def _write_image(path: Path, image: np.ndarray) -> None:
    write_image(path, image, _JPEG if path.suffix == ".jpg" else [])


def _write_blink(path: Path, portrait: Portrait) -> None:
    """Write a table as OpenFace does, with a blank before each name but the first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", " timestamp", " confidence", " success", f" {layout.BLINK_COLUMN}"])
        usable = {frame.index for frame in portrait.frames}
        for index, blink in enumerate(portrait.blink):
            success = int(index in usable)
            intensity = float(blink) * layout.CLOSED_INTENSITY
            writer.writerow([index + 1, f"{index / portrait.fps:.3f}", success, success, f"{intensity:.6f}"])


def _write_features(folder: Path, portrait: Portrait) -> None:
    """Write one window per frame: [frames, window, channels]."""
    centres_s = np.arange(portrait.num_frames) / portrait.fps
    for name in portrait.feature_files:
        windows = clip_track(portrait, name).features.windows(centres_s)
        np.save(folder / layout.FEATURE_FILES.get(name, f"aud_{name}.npy"), windows.transpose(0, 2, 1))


def _transforms(portrait: Portrait, split: Split) -> dict[str, Any]:  # Any: JSON.
    poses = layout.to_their_world(portrait.head_poses.astype(np.float64))
    return {
        "focal_len": portrait.focal_px,
        "cx": portrait.width / 2,
        "cy": portrait.height / 2,
        "frames": [
            {"img_id": frame.index, "aud_id": frame.index, "transform_matrix": poses[frame.index].tolist()}
            for frame in portrait.split(split)
        ],
    }
