"""What a processed clip measures: the numbers that checks and report are made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from ns_talking.audio.levels import LEVEL_RATE_HZ, sound_levels
from ns_talking.data.format import HEAD_REGIONS, image_name
from ns_talking.data.landmarks import aperture, face_box, outer_eye_distance
from ns_talking.metrics.lip_sound import lip_sound_lag
from ns_talking.process.blink import blinks
from ns_talking.process.frame_pool import in_threads, spread, usable_frames
from ns_talking.process.head_pose import pose_jitter
from ns_talking.process.step import Progress, Workspace
from ns_talking.utils.mapped import measured

_NUM_FRAMES = 48
_FACE_PX = 192
"""Height to which faces are brought before sharpness is measured, so that it does not depend on resolution."""


@dataclass(frozen=True)
class ClipFacts:
    """Numbers about one clip; NaN where something could not be measured."""

    duration_s: float
    num_frames: int
    width: int
    height: int
    source_fps: float
    source_px_per_px: float
    """Pixels of the video per pixel of the frames; below 1 the frames were enlarged."""
    audio_s: float
    sound_after_picture_s: float
    """How much later the video's sound starts than its pictures, as found; processing has already evened it out."""
    padded_s: float
    """Silence that had to be appended to the soundtrack."""
    usable_share: float
    several_faces_share: float
    eye_distance_px: float
    """Median distance of the outer eye corners."""
    sharpness: Float[np.ndarray, " samples"]
    """Of sampled frames: share of the face's detail that a strong blur takes away; 0 flat, about 0.6 crisp."""
    brightness: Float[np.ndarray, " samples"]
    """Median grey level of the face in sampled frames, 0 to 255."""
    overexposed_share: float
    underexposed_share: float
    reprojection_px: Float[np.ndarray, " frames"]
    """Median error of each frame, NaN without a face."""
    jitter_rotation_deg: Float[np.ndarray, "3"]
    jitter_translation: Float[np.ndarray, "3"]
    turn_deg: float
    """Angle between the two most different of the head's directions, but for 1 % at each end."""
    focal_in_widths: float
    focal_flatness: dict[str, float]
    focal_fixed: bool
    aperture: Float[np.ndarray, " frames"]
    """Opening of the inner lips in outer-eye distances, NaN without a face."""
    level_db: Float[np.ndarray, " steps"]
    """Level of the soundtrack in dB of full scale, 100 times per second."""
    clipped_share: float
    """Share of samples at full scale."""
    lag_s: float
    """How much later the sound is than the lips."""
    lag_correlation: float
    lags_s: Float[np.ndarray, " lags"]
    lag_curve: Float[np.ndarray, " lags"]
    blink: Float[np.ndarray, " frames"]
    blinks_per_minute: float
    off_centre: tuple[float, float]
    """How far the middle of the head is off the middle of the frame, as shares of its width and height."""
    cut_off_share: float
    """Share of sampled frames in which the head runs into the left, right or upper edge."""
    background_drift: float
    """Grey levels by which single frames' background is off the plate."""
    never_seen_share: float
    head_flicker: float
    """Unsteadiness of the head's area in the parsing, relative."""


def measure(workspace: Workspace, progress: Progress) -> ClipFacts:
    """Measure a processed clip; reads a few dozen frames and the soundtrack."""
    clip, frames = workspace.clip(), usable_frames(workspace)
    figures = step_figures(workspace)
    poses, tracking = np.load(workspace.head_poses), np.load(workspace.work("head_pose.npz"))
    rotation, translation = pose_jitter(poses)
    blink = np.load(workspace.blink)
    lips = measured(frames.landmarks, lambda part: aperture(part, frames.layout))
    distances = measured(frames.landmarks, lambda part: outer_eye_distance(part, frames.layout))
    level, clipped = sound_levels(workspace.audio) if workspace.audio.is_file() else (np.zeros(0), 0.0)
    lags, curve = lip_sound_lag(lips, level, clip.fps)
    best = int(np.argmax(curve))
    faces = _Faces(workspace, measured(frames.landmarks, lambda part: face_box(part, frames.layout)))
    sample = spread(frames.indices, _NUM_FRAMES)
    with progress("Measuring frames", total=len(sample), unit="frames") as advance:
        looks = []
        for look in in_threads(faces.look, sample):
            looks.append(look)
            advance()
    seen = np.array(looks)
    return ClipFacts(
        duration_s=clip.duration_s,
        num_frames=clip.num_frames,
        width=clip.width,
        height=clip.height,
        source_fps=clip.source_fps,
        source_px_per_px=(clip.crop[2] - clip.crop[0]) / clip.width,
        audio_s=len(level) / LEVEL_RATE_HZ,
        sound_after_picture_s=figures.get("frames", {}).get("sound_after_picture_s") or 0.0,
        padded_s=figures.get("soundtrack", {}).get("padded_s", 0.0),
        usable_share=len(frames.indices) / clip.num_frames,
        several_faces_share=_several_faces(workspace),
        eye_distance_px=float(np.nanmedian(distances)),
        sharpness=seen[:, 0],
        brightness=seen[:, 1],
        overexposed_share=float(seen[:, 2].mean()),
        underexposed_share=float(seen[:, 3].mean()),
        reprojection_px=tracking["reprojection_px"].astype(np.float64),
        jitter_rotation_deg=rotation,
        jitter_translation=translation,
        turn_deg=turn_deg(poses),
        focal_in_widths=float(tracking["focal"]) / clip.width,
        focal_flatness=figures.get("head_pose", {}).get("focal_flatness", {}),
        focal_fixed=workspace.settings.focal is not None,
        aperture=lips,
        level_db=level,
        clipped_share=clipped,
        lag_s=float(lags[best]),
        lag_correlation=float(curve[best]),
        lags_s=lags,
        lag_curve=curve,
        blink=blink.astype(np.float64),
        blinks_per_minute=60 * len(blinks(blink)) / clip.duration_s,
        off_centre=(float(seen[:, 4].mean()), float(seen[:, 5].mean())),
        cut_off_share=float(seen[:, 6].mean()),
        background_drift=figures.get("background", {}).get("drift", float("nan")),
        never_seen_share=figures.get("background", {}).get("never_seen_share", float("nan")),
        head_flicker=figures.get("parsing", {}).get("head_area_flicker", float("nan")),
    )


def step_figures(workspace: Workspace) -> dict[str, Any]:
    """Read the figures that the earlier steps left in the manifest, by step; empty without a manifest."""
    if not workspace.manifest.is_file():
        return {}
    steps = json.loads(workspace.manifest.read_text(encoding="utf-8")).get("steps", {})
    return {name: entry.get("figures", {}) for name, entry in steps.items()}


def sharpness(face: np.ndarray) -> float:
    """Measure how much of the detail of a grey image a strong blur takes away.

    A crisp image loses most of the differences between neighbouring pixels, a blurred one hardly any, whatever its
    contrast and content.

    Source:
        Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur metric",
        2007; here 1 minus their blur, over both directions together.
    """
    image = face.astype(np.float64)
    lost = total = 0.0
    for axis, kernel in ((1, (9, 1)), (0, (1, 9))):
        before = np.abs(np.diff(image, axis=axis))
        after = np.abs(np.diff(cv2.blur(image, kernel), axis=axis))
        lost += np.maximum(0, before - after).sum()
        total += before.sum()
    return float(lost / total) if total > 0 else 0.0


class _Faces:
    """Looks at single frames."""

    def __init__(self, workspace: Workspace, boxes: Float[np.ndarray, "frames 4"]) -> None:
        self._workspace, self._boxes = workspace, boxes

    def look(self, index: int) -> tuple[float, ...]:
        """Judge one frame, as `look_of` does."""
        regions = cv2.imread(str(self._workspace.parsing / image_name(index, ".png")), cv2.IMREAD_UNCHANGED)
        return look_of(self._workspace.read_image(index), regions, self._boxes[index])


def look_of(
    image: UInt8[np.ndarray, "height width 3"], regions: UInt8[np.ndarray, "height width"], box: Float[np.ndarray, "4"]
) -> tuple[float, ...]:
    """Measure sharpness, brightness, over- and underexposed share, off-centre x and y, cut off.

    Args:
        image: RGB.
        regions: Its parsing.
        box: Of the face, in px.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    left, top, right, bottom = box.round().astype(int)
    face = grey[max(0, top) : max(top + 2, bottom), max(0, left) : max(left + 2, right)]
    size = (max(8, round(_FACE_PX * face.shape[1] / face.shape[0])), _FACE_PX)
    smooth = cv2.resize(face, size, interpolation=cv2.INTER_AREA)
    head = np.isin(regions, HEAD_REGIONS)
    rows, columns = np.flatnonzero(head.any(axis=1)), np.flatnonzero(head.any(axis=0))
    x, y = (columns[0] + columns[-1] + 1) / 2 / width, (rows[0] + rows[-1] + 1) / 2 / height
    cut_off = max(head[0].mean(), head[:, 0].mean(), head[:, -1].mean()) > 0.02
    over, under = (face >= 250).mean(), (face <= 12).mean()
    return sharpness(smooth), float(np.median(face)), float(over), float(under), x - 0.5, y - 0.5, float(cut_off)


def _several_faces(workspace: Workspace) -> float:
    path = workspace.work("faces.npy")
    return float((np.load(path) > 1).mean()) if path.is_file() else 0.0


def turn_deg(poses: Float[np.ndarray, "frames 4 4"]) -> float:
    """Measure how far the head turns: the range of yaw and pitch together."""
    turns = Rotation.from_matrix(poses[:, :3, :3])
    angles = (turns[len(turns) // 2].inv() * turns).as_rotvec(degrees=True)[:, :2]
    spans = np.percentile(angles, 99, axis=0) - np.percentile(angles, 1, axis=0)
    return float(np.linalg.norm(spans))
