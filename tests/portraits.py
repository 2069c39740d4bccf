"""A tiny synthetic portrait in our dataset format, written in a fraction of a second.

An egg-shaped head with eyes and a mouth that opens with the loudness of the sound, seen by a camera that sways a
little; its 68 landmarks are exact projections.
"""

from __future__ import annotations

import wave
from pathlib import Path

import cv2
import numpy as np

from ns_talking.data import format as layout
from ns_talking.data.format import Region, Split
from ns_talking.utils.files import write_json

CAMERA_RADIUS = 3.3
_HEAD_RADII = np.array([0.42, 0.45, 0.55])


def write_tiny_portrait(
    folder: Path,
    num_frames: int = 11,
    size: int = 64,
    unusable: tuple[int, ...] = (),
    num_train: int | None = None,
    seed: int = 0,
) -> Path:
    """Write a complete dataset.

    Args:
        folder: Where to; created.
        num_frames: Length of the clip at 25 frames per second.
        size: Width and height of the images in px.
        unusable: Frames without a face: their landmarks are NaN and `transforms.json` does not list them.
        num_train: Training frames, from the start; 10/11 of the clip by default.
        seed: Of noise and sway.

    Returns:
        The folder.
    """
    random = np.random.default_rng(seed)
    for name in (layout.IMAGES, layout.PARSING, layout.TORSO, layout.FEATURES):
        (folder / name).mkdir(parents=True, exist_ok=True)
    focal_px = 2.7 * size
    phase = random.uniform(0, 2 * np.pi)
    opening = 0.5 + 0.5 * np.sin(np.arange(num_frames) * 0.9 + phase)
    blink = (np.arange(num_frames) % 7 == 3).astype(np.float32)
    poses = np.stack([_pose(0.15 * np.sin(0.3 * k + phase), 0.05 * np.cos(0.5 * k)) for k in range(num_frames)])
    plate = _plate(size)
    cv2.imwrite(str(folder / layout.BACKGROUND), plate[..., ::-1])
    landmarks = np.full((num_frames, 68, 3), np.nan, np.float32)
    for index in range(num_frames):
        points = _project(_landmarks_3d(opening[index], blink[index]), poses[index], focal_px, size)
        middle = _project(np.zeros((1, 3)), poses[index], focal_px, size)[0, :2]
        image, parsing, torso = _draw(points, middle, plate, size)
        cv2.imwrite(
            str(folder / layout.IMAGES / layout.image_name(index, ".jpg")),
            image[..., ::-1],
            [cv2.IMWRITE_JPEG_QUALITY, 95],
        )
        cv2.imwrite(str(folder / layout.PARSING / layout.image_name(index, ".png")), parsing)
        cv2.imwrite(str(folder / layout.TORSO / layout.image_name(index, ".png")), torso[..., [2, 1, 0, 3]])
        if index not in unusable:
            landmarks[index] = points
    np.save(folder / layout.LANDMARKS, landmarks)
    np.save(folder / layout.HEAD_POSES, poses)
    np.save(folder / layout.BLINK, blink)
    loudness = _write_sound(folder / layout.AUDIO, opening, random)
    np.save(folder / layout.FEATURES / "mel.npy", _mel_like(loudness, random))
    num_train = num_frames * 10 // 11 if num_train is None else num_train
    splits: dict[int, Split] = {
        index: "train" if index < num_train else "test" for index in range(num_frames) if index not in unusable
    }
    layout.write_transforms(
        folder,
        width=size,
        height=size,
        focal_px=focal_px,
        num_frames=num_frames,
        head_poses=poses,
        splits=splits,
        landmark_scheme="ibug68",
        feature_identities={"mel": "synthetic"},
    )
    write_json(folder / layout.MANIFEST, {"made_by": "tests"})
    return folder


def _pose(yaw: float, pitch: float) -> np.ndarray:
    """Camera-to-world of a camera that looks at the head from in front, which is from -y."""
    direction = np.array([np.sin(yaw) * np.cos(pitch), -np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
    back = direction
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, np.cross(back, right), back
    pose[:3, 3] = CAMERA_RADIUS * direction
    return pose


def _landmarks_3d(opening: float, blink: float) -> np.ndarray:
    """68 points of iBUG's layout on the front of an ellipsoid, as x and z; y follows from the surface."""
    jaw = np.linspace(-1.45, 1.45, 17)
    points = [(0.38 * np.sin(angle), 0.02 - 0.46 * np.cos(angle)) for angle in jaw]
    points += [(x, 0.30 - 0.2 * (abs(x) - 0.15) ** 2) for x in np.linspace(-0.26, -0.07, 5)]
    points += [(x, 0.30 - 0.2 * (abs(x) - 0.15) ** 2) for x in np.linspace(0.07, 0.26, 5)]
    points += [(0.0, z) for z in np.linspace(0.17, 0.0, 4)]
    points += [(x, -0.05) for x in np.linspace(-0.07, 0.07, 5)]
    lid = 0.04 * (1 - 0.9 * blink)
    for centre in (-0.165, 0.165):
        width = 0.0685
        points += [(centre - width, 0.18), (centre - width / 3, 0.18 + lid), (centre + width / 3, 0.18 + lid)]
        points += [(centre + width, 0.18), (centre + width / 3, 0.18 - lid), (centre - width / 3, 0.18 - lid)]
    gap = 0.07 * opening
    for half_width, thickness, count in ((0.14, 0.035, 6), (0.11, 0.005, 4)):
        upper = np.linspace(-half_width, half_width, count + 1)
        rise = np.sqrt(np.clip(1 - (upper / half_width) ** 2, 0, 1))
        height = rise * (thickness + gap)
        points += [(x, -0.18 + z) for x, z in zip(upper, height, strict=True)]
        points += [(x, -0.18 - z) for x, z in zip(upper[-2:0:-1], height[-2:0:-1], strict=True)]
    x, z = np.array(points).T
    depth = -_HEAD_RADII[1] * np.sqrt(np.clip(1 - (x / _HEAD_RADII[0]) ** 2 - (z / _HEAD_RADII[2]) ** 2, 0.01, 1))
    return np.stack([x, depth, z], axis=1)


def _project(points: np.ndarray, pose: np.ndarray, focal_px: float, size: int) -> np.ndarray:
    seen = (points - pose[:3, 3]) @ pose[:3, :3]
    x = size / 2 - focal_px * seen[:, 0] / seen[:, 2]
    y = size / 2 + focal_px * seen[:, 1] / seen[:, 2]
    return np.stack([x, y, -seen[:, 2] - CAMERA_RADIUS], axis=1)


def _plate(size: int) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return np.stack([60 + 80 * rows / size, 90 + 60 * columns / size, np.full((size, size), 140)], -1).astype(np.uint8)


def _draw(
    points: np.ndarray, centre: np.ndarray, plate: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RGB image, parsing, RGBA torso."""
    corners = np.rint(points[:, :2] - 0.5).astype(np.int32)
    torso_mask = np.zeros((size, size), np.uint8)
    middle, top = int(centre[0]), int(points[8, 1]) - size // 12
    cv2.ellipse(torso_mask, (middle, size), (int(0.45 * size), max(size - top - size // 10, 2)), 0, 0, 360, 255, -1)
    cv2.rectangle(torso_mask, (middle - size // 9, top), (middle + size // 9, size), 255, -1)
    torso = np.zeros((size, size, 4), np.uint8)
    torso[torso_mask > 0] = (50, 70, 110, 255)
    image = np.where(torso_mask[..., None] > 0, torso[..., :3], plate).astype(np.uint8)
    parsing = np.where(torso_mask > 0, Region.TORSO, Region.BACKGROUND).astype(np.uint8)
    # The outline of the ellipsoid, about as large as a camera 3.3 away with a focal length of 2.7 widths sees it.
    head = ((int(centre[0]), int(centre[1] - 0.02 * size)), (int(0.35 * size), int(0.43 * size)))
    for colour, region, polygon in (
        ((205, 160, 135), Region.HEAD, None),
        ((245, 245, 245), Region.EYES, corners[36:42]),
        ((245, 245, 245), Region.EYES, corners[42:48]),
        ((175, 70, 80), Region.LIPS, corners[48:60]),
        ((50, 15, 20), Region.INNER_MOUTH, corners[60:68]),
    ):
        mask = np.zeros((size, size), np.uint8)
        if polygon is None:
            cv2.ellipse(mask, *head, 0, 0, 360, 255, -1)
        else:
            cv2.fillPoly(mask, [polygon], 255)
        image[mask > 0] = colour
        parsing[mask > 0] = region
    return image, parsing, torso


def _write_sound(path: Path, opening: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Noise as loud as the mouth is open; gives the loudness of every 10 ms."""
    num_samples = int(len(opening) / layout.FRAME_RATE_HZ * layout.SAMPLE_RATE_HZ)
    frames = np.arange(num_samples) / layout.SAMPLE_RATE_HZ * layout.FRAME_RATE_HZ
    loudness = np.interp(frames, np.arange(len(opening)), opening)
    samples = (loudness * random.normal(0, 4000, num_samples)).clip(-32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(layout.SAMPLE_RATE_HZ)
        file.writeframes(samples.tobytes())
    return loudness[:: layout.SAMPLE_RATE_HZ // 100]


def _mel_like(loudness: np.ndarray, random: np.random.Generator) -> np.ndarray:
    bands = 0.5 + 0.5 * np.cos(np.linspace(0, 3, 80))
    noise = random.normal(0, 0.1, (len(loudness), 80))
    return (np.log(loudness + 0.01)[:, None] * bands + noise).astype(np.float32)
