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


def check_camera_path(content: Any) -> None:  # Any: JSON.
    """Refuse what is no camera path, before Nerfstudio stumbles over it.

    Raises:
        ValueError: When a key is missing, or holds something else than it should.
    """
    numbers = ("render_width", "render_height", "fps", "seconds")
    if not isinstance(content, dict) or not isinstance(content.get("camera_path"), list) or not content["camera_path"]:
        raise ValueError("The camera path lists no cameras. `ns-talking camera-path` and the viewer write such files.")
    odd = [name for name in numbers if name in content and not _is_number(content[name], 1e-6, 1e6)]
    odd += [name for name in numbers[:2] if not _is_number(content.get(name, 0), 1.0, 65_536.0)]
    if not isinstance(content.get("camera_type", ""), str):
        odd.append("camera_type")
    if odd:
        raise ValueError(f"The camera path says {odd[0]} = {str(content.get(odd[0]))[:40]}. Make it again.")
    for number, camera in enumerate(content["camera_path"]):
        matrix = camera.get("camera_to_world") if isinstance(camera, dict) else None
        whole = isinstance(matrix, list) and len(matrix) == 16 and all(_is_number(value) for value in matrix)
        if not whole or not _is_number(camera.get("fov", 1), 1e-6, 179.999):
            raise ValueError(
                f"Camera {number} of the camera path should have 16 numbers `camera_to_world` and an angle `fov` in "
                "degrees. Make it again."
            )
        if not _is_number(camera.get("render_time", 0)):
            raise ValueError(f"Camera {number} of the camera path has a `render_time` that is no number.")


def _is_number(value: Any, least: float = -1e9, most: float = 1e9) -> bool:  # Any: JSON.
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


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
