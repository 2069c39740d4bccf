"""Nerfstudio's camera path of a talking portrait: a camera per frame, and what the portrait is to say meanwhile."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ns_talking.driving.track import DrivingTrack, Pose, Silence

_SECONDS_PER_KEYFRAME = 1.0


@dataclass(frozen=True)
class Speech:
    """What a camera path says about the portrait, as keys beside Nerfstudio's own."""

    audio: Path | None = None
    """File with the sound that drives the portrait; None keeps the sound it has."""
    pose: Pose = "track"
    """Where the path's cameras come from; they are in the path itself."""
    start_frame: int | None = None
    """Frame of the clip that lends the first blink."""
    background: str | None = None
    """Colour or image file behind the person; None keeps what is there."""
    silence: Silence = "rest"
    """What the mouth does while nobody speaks."""

    @classmethod
    def of(cls, path: dict[str, Any]) -> Speech:  # Any: JSON.
        """Read the keys from a camera path; those that are missing keep their defaults.

        Raises:
            ValueError: When a key holds something else than it should.
        """
        found = {entry.name: path[entry.name] for entry in fields(cls) if path.get(entry.name) is not None}
        types = {"audio": str, "pose": str, "start_frame": int, "background": str, "silence": str}
        odd = any(not isinstance(value, types[name]) for name, value in found.items())
        known = get_args(Pose), get_args(Silence)
        if odd or found.get("pose", "track") not in known[0] or found.get("silence", "rest") not in known[1]:
            raise ValueError(
                f"The camera path's keys audio, pose, start_frame, background and silence read {found}. The first is "
                f"the name of a sound file, then {' or '.join(known[0])}, a number, a colour or an image file, "
                f"{' or '.join(known[1])}."
            )
        if "audio" in found:
            found["audio"] = Path(found["audio"]).expanduser()
        return cls(**found)


def camera_path(
    track: DrivingTrack, frames: range, width: int, height: int, focal_px: float, speech: Speech
) -> dict[str, Any]:  # Any: JSON.
    """Write frames of a track as the camera path that Nerfstudio's viewer and `ns-render camera-path` read.

    Args:
        track: What drives the portrait: its sound, poses and blinks.
        frames: Which frames of it.
        width: Width of the video in px.
        height: Height of the video in px.
        focal_px: Focal length in px; the principal point is the picture's centre.
        speech: What drives the portrait, for whoever renders the path. Paths become absolute.
    """
    fov_degrees = math.degrees(2 * math.atan(height / 2 / focal_px))
    aspect = width / height
    duration_s = len(frames) / track.fps

    def shot(frame: int, matrix: str) -> dict[str, Any]:  # Any: JSON.
        # The precision that cameras have: what is rendered from the path equals what is rendered from the track.
        pose = np.asarray(track.head_poses[frame], dtype=np.float32)
        return {
            matrix: pose.flatten().tolist(),
            "fov": fov_degrees,
            "aspect": aspect,
            "render_time": frame / track.num_frames,
        }

    keys = [*frames[:: max(1, round(_SECONDS_PER_KEYFRAME * track.fps))]]
    asked = {name: value for name, value in asdict(speech).items() if value is not None}
    if speech.audio is not None:
        asked["audio"] = str(speech.audio.expanduser().absolute())
    return {
        "camera_type": "perspective",
        "render_height": height,
        "render_width": width,
        "fps": track.fps,
        "seconds": duration_s,
        "is_cycle": False,
        "smoothness_value": 0.0,
        "default_fov": fov_degrees,
        "default_transition_sec": _SECONDS_PER_KEYFRAME,
        "keyframes": [shot(frame, "matrix") | {"override_time_enabled": True} for frame in keys],
        "camera_path": [shot(frame, "camera_to_world") for frame in frames],
        **asked,
    }
