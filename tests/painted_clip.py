"""A painted person, frame by frame: a clip whose parsing, background and landmarks are known exactly."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from ns_talking.audio.io import write_wav
from ns_talking.data.format import Region
from ns_talking.process.person_masks import MASK_SIZE, PersonMasks
from ns_talking.process.step import ProcessSettings, Workspace

SKIN, HAIR, JACKET, SHADOW = (214, 160, 130), (70, 50, 35), (40, 90, 45), (120, 80, 65)
SIZE = 192


@dataclass(frozen=True)
class Painted:
    """One painted frame."""

    image: np.ndarray
    regions: np.ndarray
    landmarks: np.ndarray


def background() -> np.ndarray:
    """The scene without the person: a blue slope, everywhere bluer than the person."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    return np.stack([30 + 30 * rows, 70 + 40 * columns, 190 + 40 * rows], axis=-1).astype(np.uint8)


def face68(x: float, y: float, unit: float, mouth: float = 0.1, lids: float = 0.12) -> np.ndarray:
    """Place 68 landmarks around (x, y), the middle between the eyes; `unit` px is the outer-eye distance."""
    angles = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.8 * np.cos(angles), 0.15 + 1.15 * np.sin(angles)], axis=-1)
    brows = [(s, -0.25) for s in np.linspace(-0.6, -0.15, 5)] + [(s, -0.25) for s in np.linspace(0.15, 0.6, 5)]
    nose = [(0, v) for v in np.linspace(0, 0.4, 4)] + [(h, 0.48) for h in np.linspace(-0.15, 0.15, 5)]
    eyes = []
    for centre in (-0.34, 0.34):
        eyes += [(centre - 0.16, 0), (centre - 0.06, -lids / 2), (centre + 0.06, -lids / 2)]
        eyes += [(centre + 0.16, 0), (centre + 0.06, lids / 2), (centre - 0.06, lids / 2)]
    around = np.linspace(np.pi, -np.pi, 13)[:-1]
    outer = np.stack([0.32 * np.cos(around), 0.8 - (0.1 + mouth / 2) * np.sin(around)], axis=-1)
    inside = np.linspace(np.pi, -np.pi, 9)[:-1]
    inner = np.stack([0.24 * np.cos(inside), 0.8 - mouth / 2 * np.sin(inside)], axis=-1)
    points = np.concatenate([jaw, brows, nose, eyes, outer, inner]) * unit + (x, y)
    return np.concatenate([points, np.zeros((68, 1))], axis=1).astype(np.float32)


def paint(
    shift: float = 0.0, long_hair: bool = False, jacket: tuple[int, int, int] = JACKET, lids: float = 0.12
) -> Painted:
    """Paint the person, moved to the right by `shift` px."""
    unit = SIZE * 0.26
    x, y = SIZE / 2 + shift, SIZE * 0.42
    landmarks = face68(x, y, unit, lids=lids)
    image, regions = background(), np.zeros((SIZE, SIZE), np.uint8)

    def draw(outline: np.ndarray, colour: tuple[int, int, int], region: Region) -> None:
        points = np.rint((outline - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(image, [points], colour, shift=4)
        cv2.fillPoly(regions, [points], int(region), shift=4)

    def at(*places: tuple[float, float]) -> np.ndarray:
        return np.array(places) * unit + (x, y)

    draw(at((-1.9, 3), (-1.5, 1.9), (-0.5, 1.55), (0.5, 1.55), (1.5, 1.9), (1.9, 3)), jacket, Region.TORSO)
    draw(at((-0.55, 0.6), (0.55, 0.6), (0.6, 1.7), (-0.6, 1.7)), SHADOW, Region.TORSO)
    turn = np.linspace(0, 2 * np.pi, 60)
    if long_hair:
        draw(at((-1.05, 0), (-0.5, 0), (-0.62, 2.0), (-1.15, 2.0)), HAIR, Region.HEAD)
        draw(at((1.05, 0), (0.5, 0), (0.62, 2.0), (1.15, 2.0)), HAIR, Region.HEAD)
    hair = np.stack([1.0 * np.cos(turn), -0.2 + 1.15 * np.sin(turn)], axis=-1)
    hair = hair[hair[:, 1] < 0.5]
    draw(at(*map(tuple, hair)), HAIR, Region.HEAD)
    forehead = np.stack([0.8 * np.cos(turn), 0.15 - 0.85 * np.abs(np.sin(turn))], axis=-1)[:31]
    draw(at(*map(tuple, forehead)), SKIN, Region.HEAD)
    draw(landmarks[:17, :2], SKIN, Region.HEAD)
    draw(landmarks[48:60, :2], (170, 60, 70), Region.LIPS)
    draw(landmarks[60:68, :2], (60, 20, 20), Region.INNER_MOUTH)
    draw(landmarks[36:42, :2], (240, 240, 240), Region.EYES)
    draw(landmarks[42:48, :2], (240, 240, 240), Region.EYES)
    return Painted(image, regions, landmarks)


class PaintedSegmenter:
    """Finds the painted person by its colour, as a network would give it: soft, at `MASK_SIZE`."""

    knows_hair = False
    model = "selfie_segmentation.tflite"

    def __init__(self, model: Path) -> None:
        pass

    def __enter__(self) -> PaintedSegmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def segment(self, image: np.ndarray) -> PersonMasks:
        """Mask whatever is not blue."""
        assert image.shape[:2] == (MASK_SIZE, MASK_SIZE)
        # Eyes are white and stay within the face, so only clear blue counts as background.
        person = image[..., 2].astype(int) - image[..., 0] < 80
        return PersonMasks(cv2.GaussianBlur(person.astype(np.uint8) * 255, (0, 0), 1.0), None)


def painted_workspace(folder: Path, frames: list[Painted], missing: tuple[int, ...] = ()) -> Workspace:
    """Lay frames out as the earlier steps would; no face is found in the frames `missing`."""
    workspace = Workspace(folder, folder / "painted.mp4", ProcessSettings(parsing="painted", size=SIZE))
    workspace.images.mkdir(parents=True)
    workspace.work("").mkdir()
    landmarks = np.stack([frame.landmarks for frame in frames])
    landmarks[list(missing)] = np.nan
    for index, frame in enumerate(frames):
        bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(workspace.image(index)), bgr, [cv2.IMWRITE_JPEG_QUALITY, 98])
    np.save(workspace.landmarks, landmarks)
    num = len(frames)
    clip = {"num_frames": num, "width": SIZE, "height": SIZE, "fps": 25.0, "start_s": 0.0, "source_fps": 25.0}
    clip |= {"source_size": [SIZE, SIZE], "crop": [0.0, 0.0, float(SIZE), float(SIZE)]}
    workspace.work("clip.json").write_text(json.dumps(clip), encoding="utf-8")
    poses = np.tile(np.eye(4), (num, 1, 1))
    poses[:, 1, 3] = -3.3
    poses[:, 0, 3] = np.linspace(-0.1, 0.1, num)
    np.save(workspace.head_poses, poses)
    np.savez(
        workspace.work("head_pose.npz"),
        focal=1.7 * SIZE,
        reprojection_px=np.where(np.isin(np.arange(num), missing), np.nan, 0.4),
    )
    tone = 0.2 * np.sin(2 * np.pi * 220 * np.arange(round(num / 25 * 16000)) / 16000)
    write_wav(workspace.audio, tone.astype(np.float32), 16000)
    return workspace


def no_progress(description: str, *, total: int, unit: str):  # A context manager, as `progress` is.
    """Stand in for the progress bar."""
    from contextlib import nullcontext

    return nullcontext(lambda amount=1: None)
