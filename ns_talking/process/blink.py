"""Blink track: how far the eyes are closed in every frame, 0 open to 1 closed.

Two measurements are normalised to the person and averaged: the eye aspect ratio of the landmarks, which is sharp but
also falls when the head bows, and the `eyeBlink` blendshapes, which see through that. Layouts without blendshapes use
the eye aspect ratio alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.ndimage import percentile_filter

from ns_talking.data.landmarks import eye_opening
from ns_talking.process.frame_pool import layout_of
from ns_talking.process.step import ProcessSettings, Progress, Workspace
from ns_talking.utils.files import atomic_path
from ns_talking.utils.mapped import measured

EYE_BLINK_BLENDSHAPES = (9, 10)
"""`eyeBlinkLeft` and `eyeBlinkRight` in MediaPipe's list of 52."""
_CLOSED_SHARE = 0.35
"""Eye aspect ratio of a closed eye as a share of the open one's, where the clip shows no full blink."""
_BASELINE_S = 4.0
"""Time over which the open eye's ratio is followed; head pitch changes it slowly, a blink lasts 0.2 s."""
_FULL_BLENDSHAPE = 0.55
"""Blendshape value that counts as closed where the clip shows no full blink."""


class BlinkStep:
    """Writes `blink.npy`."""

    name = "blink"
    needs = ("landmarks",)
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """Files and folders that exist when the step is done."""
        return [workspace.blink]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Only the settings that affect its outputs."""
        return {}

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Do the step."""
        landmarks = np.load(workspace.landmarks, mmap_mode="r", allow_pickle=False)
        clip, layout = workspace.clip(), layout_of(landmarks)
        opening = measured(landmarks, lambda part: eye_opening(part, layout))
        path = workspace.work("blendshapes.npy")
        closure = None
        if path.is_file():
            closure = np.load(path, allow_pickle=False)[:, list(EYE_BLINK_BLENDSHAPES)].mean(axis=1)
            closure = closure if np.isfinite(closure).any() else None
        track = blink_track(opening, closure, clip.fps)
        with atomic_path(workspace.blink) as temporary:
            np.save(temporary, track)
        count = len(blinks(track))
        return {
            "source": "eye aspect ratio" if closure is None else "eye aspect ratio and blendshapes",
            "blinks": count,
            "blinks_per_minute": round(60 * count / clip.duration_s, 1),
        }


def blink_track(
    opening: Float[np.ndarray, " frames"], closure: Float[np.ndarray, " frames"] | None, fps: float
) -> Float[np.ndarray, " frames"]:
    """Join the two measurements of one clip.

    Args:
        opening: Eye aspect ratio, NaN where there is no face.
        closure: Blendshape of closed eyes in [0, 1], NaN where there is no face; None without blendshapes.
        fps: Frames per second.

    Returns:
        float32 in [0, 1]; frames without a face are interpolated.
    """
    tracks = [_closed_by_ratio(_gaps_filled(opening), fps)]
    if closure is not None:
        tracks.append(_closed_by_blendshape(_gaps_filled(closure)))
    return np.clip(np.mean(tracks, axis=0), 0, 1).astype(np.float32)


def blinks(track: Float[np.ndarray, " frames"], closed: float = 0.5, opened: float = 0.3) -> list[int]:
    """List the frames at which the eyes close; they have to open again in between."""
    found, shut = [], False
    for frame, value in enumerate(track):
        if not shut and value > closed:
            found.append(frame)
            shut = True
        elif shut and value < opened:
            shut = False
    return found


def _closed_by_ratio(opening: np.ndarray, fps: float) -> np.ndarray:
    window = max(3, min(len(opening), round(_BASELINE_S * fps)))
    typical = float(np.percentile(opening, 70))
    baseline = percentile_filter(opening, 75, size=window, mode="nearest")
    # Someone who keeps the eyes shut for seconds must not become the baseline.
    baseline = np.clip(baseline, 0.8 * typical, 1.25 * typical)
    ratio = opening / np.maximum(baseline, 1e-6)
    lowest = float(np.percentile(ratio, 0.5))
    shut = min(max(lowest, 0.1), 0.6) if lowest < 0.6 else _CLOSED_SHARE
    return np.clip((0.92 - ratio) / (0.92 - shut), 0, 1)


def _closed_by_blendshape(closure: np.ndarray) -> np.ndarray:
    opened = float(np.percentile(closure, 50))
    shut = max(float(np.percentile(closure, 99.5)), min(1.0, max(opened + 0.2, _FULL_BLENDSHAPE)))
    return np.clip((closure - opened) / max(shut - opened, 1e-6), 0, 1)


def _gaps_filled(values: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(np.isfinite(values))
    if len(known) == 0:
        raise ValueError("No frame of the clip shows a face, so there are no eyes to follow. Choose another video.")
    return np.interp(np.arange(len(values)), known, values[known].astype(np.float64))
