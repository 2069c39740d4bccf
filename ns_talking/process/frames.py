"""Frames: any video, upright and at 25 fps by time, as numbered pictures of one size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ns_talking.data.landmarks import scheme
from ns_talking.process.cuts import THUMBNAIL_SIZE, picture_cuts, refuse_cuts
from ns_talking.process.frame_pool import in_threads
from ns_talking.process.head_crop import Crop, fills_well, head_square, largest_face, whole
from ns_talking.process.landmarks import LANDMARKS
from ns_talking.process.step import FPS, Clip, ProcessSettings, Progress, Workspace, atomic_folder
from ns_talking.utils.files import write_json
from ns_talking.utils.images import write_image
from ns_talking.utils.registry import lookup
from ns_talking.utils.video import VideoInfo, timed_frames, video_info

MIN_SECONDS = 1.0
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
_CROP_SAMPLES = 24
_LONG_REPEAT_S = 0.3
"""A picture that stands still for longer is reported: the recording has a hole there."""


class FramesStep:
    """Decode the video: `images/`, and what was found in `work/clip.json`."""

    name = "frames"
    needs: tuple[str, ...] = ()
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """List what the step writes."""
        return [workspace.images, workspace.work("clip.json")]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Name the settings that matter."""
        return {
            "size": settings.size,
            "start_s": settings.start_s,
            "max_seconds": settings.max_seconds,
            "crop": settings.crop,
            "landmarks": None if settings.crop == "none" else settings.landmarks,
        }

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Resample by time, turn upright, crop, scale and write."""
        settings = workspace.settings
        info = video_info(workspace.video)
        check_video(workspace.video, info, settings)
        start_s = info.start_s + settings.start_s
        crop = _choose_crop(workspace, info, start_s, progress)
        width, height = _scaled_size(crop, settings.size)
        instants = []
        expected = _expected_frames(info, settings)
        with warnings.catch_warnings(record=True) as caught, atomic_folder(workspace.images) as folder:
            warnings.simplefilter("always")
            with progress("Reading frames", total=expected, unit="frames") as advance:

                def write(item: tuple[int, tuple[float, np.ndarray]]) -> tuple[float, np.ndarray]:
                    index, (time_s, frame) = item
                    return time_s, _write_frame(folder / f"{index:06d}.jpg", frame, crop, width, height)

                def thumbnails() -> Iterator[np.ndarray]:
                    decoded = timed_frames(workspace.video, FPS, start_s, settings.max_seconds)
                    for time_s, thumbnail in in_threads(write, enumerate(decoded)):
                        yield thumbnail
                        instants.append(time_s)
                        advance()

                cuts = picture_cuts(thumbnails())
            _check_length(len(instants), expected, workspace.video, settings)
            refuse_cuts(cuts, len(instants), FPS, settings.start_s)
        clip = Clip(
            num_frames=len(instants),
            width=width,
            height=height,
            fps=FPS,
            start_s=start_s,
            source_fps=info.fps,
            source_size=(info.width, info.height),
            crop=crop,
        )
        write_json(workspace.work("clip.json"), asdict(clip))
        return {
            "frames": clip.num_frames,
            "seconds": clip.duration_s,
            "size": [width, height],
            "source_fps": round(info.fps, 4),
            "source_size": [info.width, info.height],
            "rotation_deg": info.rotation,
            "crop": list(crop),
            "sound_after_picture_s": None if info.sound_start_s is None else info.sound_start_s - info.start_s,
            "notes": [*dict.fromkeys(str(warning.message) for warning in caught), *_notes(info, instants, start_s)],
        }


def check_video(video: Path, info: VideoInfo, settings: ProcessSettings) -> None:
    """Refuse early what would fail late.

    Raises:
        ValueError: When there is no sound, or the part asked for is empty.
    """
    if not info.has_sound and not settings.allow_silent:
        raise ValueError(
            f"{video} has no sound track, and a talking portrait learns its lips from the sound. Name a video with "
            "sound; if you only need poses and masks, add --allow-silent (training will then learn no speech)."
        )
    if info.duration_s and settings.start_s >= info.duration_s:
        raise ValueError(
            f"--start {settings.start_s:g} lies behind the end of {video}, which is {info.duration_s:.2f} s long."
        )


def _choose_crop(workspace: Workspace, info: VideoInfo, start_s: float, progress: Progress) -> Crop:
    settings = workspace.settings
    if settings.crop == "none":
        return whole(info.width, info.height)
    span_s = max(_expected_frames(info, settings), 1) / FPS
    detector_type = lookup(LANDMARKS, settings.landmarks, "landmark detectors")
    faces, looked = [], 0
    with (
        detector_type(settings.models) as detector,
        progress("Looking for the head", total=_CROP_SAMPLES, unit="frames") as advance,
    ):
        for image in _samples(workspace.video, start_s, settings.max_seconds, span_s):
            looked += 1
            face = largest_face(image, detector)
            if face is not None:
                faces.append(face)
            advance()
    if not faces:
        raise ValueError(
            f"None of {looked} frames spread over {workspace.video} shows a face. Film one person facing the camera, "
            "well lit; choose another part with --start and --max-seconds; or take the whole picture with --crop none."
        )
    layout, found = scheme(detector_type.scheme), np.stack(faces)
    if settings.crop == "auto" and fills_well(found, layout, info.width, info.height):
        return whole(info.width, info.height)
    return head_square(found, layout, info.width, info.height)


def _samples(video: Path, start_s: float, max_seconds: float | None, span_s: float) -> Iterator[np.ndarray]:
    rate = min(FPS, _CROP_SAMPLES / span_s)
    for _, image in timed_frames(video, rate, start_s + 0.5 / rate, max_seconds):
        yield image


def _scaled_size(crop: Crop, size: int) -> tuple[int, int]:
    width, height = crop[2] - crop[0], crop[3] - crop[1]
    scale = size / max(width, height)
    return round(width * scale), round(height * scale)


def _write_frame(path: Path, frame: np.ndarray, crop: Crop, width: int, height: int) -> np.ndarray:
    """Write one frame and return its thumbnail."""
    x0, y0, x1, y1 = (round(edge) for edge in crop)
    part = frame[y0:y1, x0:x1]
    if part.shape[:2] != (height, width):
        shrinks = part.shape[0] > height
        part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    write_image(path, cv2.cvtColor(part, cv2.COLOR_RGB2BGR), _JPEG)
    return cv2.resize(part, (THUMBNAIL_SIZE, THUMBNAIL_SIZE), interpolation=cv2.INTER_AREA)


def _expected_frames(info: VideoInfo, settings: ProcessSettings) -> int:
    length_s = max(0.0, info.duration_s - settings.start_s)
    if settings.max_seconds is not None:
        length_s = min(length_s, settings.max_seconds) if info.duration_s else settings.max_seconds
    return round(length_s * FPS)


def _check_length(count: int, expected: int, video: Path, settings: ProcessSettings) -> None:
    if count < MIN_SECONDS * FPS:
        raise ValueError(
            f"{video} gives only {count} frames at {FPS:g} fps from {settings.start_s:g} s on; at least "
            f"{MIN_SECONDS:g} s is needed, and one to five minutes are recommended."
        )
    if expected and count < 0.5 * expected:
        raise ValueError(
            f"Only {count} of about {expected} frames of {video} can be decoded: the file is damaged or was copied "
            f"incompletely. Copy or export it again, or take the readable part with --max-seconds {count / FPS:.1f}"
        )


def _notes(info: VideoInfo, instants: list[float], start_s: float) -> list[str]:
    notes = []
    if abs(info.fps - FPS) > 0.01:
        notes.append(f"The video has {info.fps:.3f} fps and was resampled to {FPS:g} fps by time.")
    off_s = np.abs(np.asarray(instants) - (start_s + np.arange(len(instants)) / FPS))
    if off_s.max() > _LONG_REPEAT_S:
        worst = int(off_s.argmax())
        notes.append(
            f"The recording has holes: at {worst / FPS:.2f} s the nearest picture is {off_s[worst]:.2f} s away."
        )
    if info.sound_start_s is not None and abs(info.sound_start_s - info.start_s) > 0.001:
        late = info.sound_start_s - info.start_s
        notes.append(f"The sound starts {abs(late):.3f} s {'after' if late > 0 else 'before'} the pictures; aligned.")
    return notes
