"""A dataset of the procedural talking head, in the very layout that `ns-talking process` writes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from ns_talking.audio.io import write_wav
from ns_talking.audio.mel import MelFeatures
from ns_talking.data import format as layout
from ns_talking.data.format import Portrait, Split, image_name, read_portrait, write_transforms
from ns_talking.data.subject import Subject, write_subject
from ns_talking.demo.head import FOCAL_OVER_WIDTH, HeadFrame, HeadRenderer, iterate_frames
from ns_talking.demo.identity import identity as find_identity
from ns_talking.demo.motion import blinks, head_poses
from ns_talking.demo.speech import MouthTrack, synthesize
from ns_talking.utils.files import atomic_path, write_json
from ns_talking.utils.progress import progress

SETTINGS = "demo.json"
"""File that says what a procedural dataset shows; it makes one different from a filmed dataset."""
_VERSION = 2
"""Raised whenever the same settings would give another dataset."""


@dataclass(frozen=True)
class DemoSettings:
    """Everything that a procedural dataset depends on."""

    identity: str = "ada"
    seconds: float = 24.0
    size: int = 128
    seed: int = 0
    jaw: float = 1.0
    """Factor on the opening of the mouth."""
    head_motion: float = 1.0
    """Factor on the movement of the head."""
    version: int = _VERSION

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        return int(round(self.seconds * layout.FRAME_RATE_HZ))


def write_demo(
    folder: Path,
    identity: str = "ada",
    seconds: float = 24.0,
    size: int = 128,
    seed: int = 0,
    jaw: float = 1.0,
    head_motion: float = 1.0,
) -> Portrait:
    """Draw, voice and write a clip of the procedural head; a folder that holds the same clip already is kept.

    Args:
        folder: Where the dataset goes.
        identity: A name of `ns_talking.demo.identity.IDENTITIES`, or any other word for a person made up from it.
        seconds: Length of the clip.
        size: Width and height in px.
        seed: What is said and how the head moves.
        jaw: Factor on the opening of the mouth; 1.6 is a large jaw motion.
        head_motion: Factor on the movement of the head; 0 holds it still.

    Raises:
        FileExistsError: When the folder holds something else.
    """
    settings = DemoSettings(identity, float(seconds), size, seed, float(jaw), float(head_motion))
    folder = Path(folder)
    if _is_complete(folder, settings):
        return read_portrait(folder)
    # What begins with a dot was left by a run that was killed before the settings had their name.
    is_used = folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir())
    if is_used and not (folder / SETTINGS).is_file():
        raise FileExistsError(f"{folder} is not empty and was not made by the demo. Choose another folder.")
    (folder / layout.TRANSFORMS).unlink(missing_ok=True)
    write_json(folder / SETTINGS, asdict(settings))
    write_subject(folder, Subject("no person: a procedural head", "none is needed", "any use", "2026-01-01"))
    write_wav(folder / layout.AUDIO, sound_of(settings)[0])
    mel = MelFeatures()
    (folder / layout.FEATURES).mkdir(exist_ok=True)
    mel.extract(folder / layout.AUDIO, folder / layout.FEATURES / "mel.npy")
    poses = _write_frames(folder, settings)
    # As everywhere in this family of methods: the first 10/11 train, the last 1/11 is held out.
    first_test = settings.num_frames * 10 // 11
    splits: dict[int, Split] = {k: "train" if k < first_test else "test" for k in range(settings.num_frames)}
    write_transforms(
        folder,
        width=size,
        height=size,
        focal_px=FOCAL_OVER_WIDTH * size,
        num_frames=settings.num_frames,
        head_poses=poses,
        splits=splits,
        landmark_scheme="ibug68",
        feature_identities={"mel": mel.identity()},
    )
    return read_portrait(folder)


def sound_of(settings: DemoSettings) -> tuple[np.ndarray, MouthTrack]:
    """Synthesize what the person says, with the movement of the mouth."""
    samples, mouth = synthesize(settings.seconds, settings.seed, find_identity(settings.identity).voice)
    return samples, mouth.amplified(settings.jaw)


def _is_complete(folder: Path, settings: DemoSettings) -> bool:
    path = folder / SETTINGS
    if not path.is_file() or not (folder / layout.TRANSFORMS).is_file():
        return False
    return json.loads(path.read_text(encoding="utf-8")) == asdict(settings)


def _write_frames(folder: Path, settings: DemoSettings) -> np.ndarray:
    """Draw the clip and write all its images and arrays; returns the head poses."""
    count = settings.num_frames
    _, mouth = sound_of(settings)
    blink = blinks(count, settings.seed)
    poses = head_poses(count, settings.seed, amplitude=settings.head_motion, loudness=mouth.loudness)
    renderer = HeadRenderer(find_identity(settings.identity), settings.size)
    for name in (layout.IMAGES, layout.PARSING, layout.CLASSES, layout.TORSO):
        (folder / name).mkdir(exist_ok=True)
    landmarks = []
    _write_image(folder / layout.BACKGROUND, renderer.background)
    with ThreadPoolExecutor(1) as writer, progress("Drawing the clip", total=count, unit="frames") as advance:
        pending = []
        for index, frame in enumerate(iterate_frames(renderer, mouth.aperture, mouth.width, blink, poses)):
            landmarks.append(frame.landmarks)
            pending.append(writer.submit(_write_images, folder, index, frame))
            if len(pending) > 64:
                pending.pop(0).result()
            advance()
        for job in pending:
            job.result()
    arrays = {
        layout.LANDMARKS: np.stack(landmarks).astype(np.float32),
        layout.HEAD_POSES: poses.astype(np.float64),
        layout.BLINK: blink,
    }
    for name, values in arrays.items():
        with atomic_path(folder / name) as temporary:
            np.save(temporary, values)
    return poses


def _write_images(folder: Path, index: int, frame: HeadFrame) -> None:
    _write_image(folder / layout.IMAGES / image_name(index, ".jpg"), frame.image)
    for name, image in ((layout.PARSING, frame.parsing), (layout.CLASSES, frame.classes), (layout.TORSO, frame.torso)):
        _write_image(folder / name / image_name(index, ".png"), image)


def _write_image(path: Path, image: np.ndarray) -> None:
    """Encode by the suffix: JPEG at quality 95 without chroma subsampling, PNG quickly."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    sampling = getattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR_444", 0x111111)
    options = [cv2.IMWRITE_PNG_COMPRESSION, 3]
    if path.suffix == ".jpg":
        options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    ok, content = cv2.imencode(path.suffix, image, options)
    if not ok:
        raise RuntimeError(f"OpenCV could not encode {path.name} ({image.shape}, {image.dtype}).")
    path.write_bytes(content.tobytes())
