"""`ns-talking render`: a trained portrait speaks any audio, as an mp4."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from ns_talking.audio.io import read_audio
from ns_talking.utils.contact_sheet import write_contact_sheet
from ns_talking.utils.media import file_start_s, open_media
from ns_talking.utils.progress import CONSOLE, progress
from ns_talking.utils.video import VideoWriter

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras

    from ns_talking.driving.track import DrivingTrack
    from ns_talking.pipelines.portrait import PortraitPipeline


@dataclass(frozen=True)
class Lens:
    """What all cameras of a video have in common."""

    width: int
    height: int
    focal_px: float
    centre_px: tuple[float, float]
    """Principal point, x and y."""

    def camera(self, head_pose: Float[np.ndarray, "4 4"], time: float) -> Cameras:
        """Build Nerfstudio's camera, a batch of one.

        Args:
            head_pose: Camera-to-world.
            time: In [0, 1] over the driving track.
        """
        import torch
        from nerfstudio.cameras.cameras import Cameras

        return Cameras(
            camera_to_worlds=torch.from_numpy(np.asarray(head_pose[None, :3], dtype=np.float32)),
            fx=self.focal_px,
            fy=self.focal_px,
            cx=self.centre_px[0],
            cy=self.centre_px[1],
            width=self.width,
            height=self.height,
            times=torch.tensor([[time]]),
        )


@dataclass
class Render:
    """Render a trained portrait speaking any audio.

    Any sample rate, number of channels and length will do: frames stream into the file. The head moves and blinks as
    in the clip it was trained on, forward and backward in turns for as long as the audio lasts.
    """

    load_config: Path
    """config.yml that `ns-train` wrote, or its folder."""
    audio: Path
    """Sound or video file with the speech."""
    output: Path
    """The mp4 to write."""
    pose: Literal["track", "still"] = "track"
    """`track` moves the head as in the clip, `still` holds it; the eyes blink either way."""
    background: str | None = None
    """Image file, or colour such as white, '#204080' or 32,64,128; left out, the clip's own background."""
    start: float = 0.0
    """Where in the audio the video starts, in seconds."""
    end: float | None = None
    """Where in the audio the video ends, in seconds; left out, at the end of the audio."""
    size: int | None = None
    """Longer side of the video in pixels; left out, the size the portrait was trained at."""
    start_frame: int | None = None
    """Frame of the clip that lends pose and blink to the start of the audio, counted from 0; left out, the first, and
    for `still` the one nearest to the mean pose."""
    crf: int = 18
    """Quality of the video: 0 is lossless, 51 the worst; 6 more halve the size of the file."""
    data: Path | None = None
    """The dataset that the portrait was trained on, where it was moved."""
    contact_sheet: Path | None = None
    """PNG to write with 24 frames of the video and their times."""

    def main(self) -> None:
        """Render."""
        self._check()
        background = None if self.background is None else read_background(self.background)
        from ns_talking.scripts.loading import load_portrait

        pipeline = load_portrait(self.load_config, self.data)
        with tempfile.TemporaryDirectory(prefix="ns-talking-", ignore_cleanup_errors=True) as folder:
            track = pipeline.set_audio(
                self.audio, self.pose, output=Path(folder) / "features.npy", start_frame=self.start_frame
            )
            frames = frames_between(track, self.start, self.end)
            lens = clip_lens(pipeline, self.size)
            width, height = lens.width, lens.height
            if background is not None:
                pipeline.portrait_model.set_background(covering(background, width, height))
            CONSOLE.print(f"Read {self.audio}: {track.features.duration_s:.1f} s of {track.features.name} features")
            with open_media(self.audio) as container:
                sound_start_s = file_start_s(container) + frames.start / track.fps
            started_s = time.monotonic()
            with (
                VideoWriter(
                    self.output, width, height, track.fps, self.audio, self.crf, audio_start_s=sound_start_s
                ) as writer,
                progress("Rendering", total=len(frames), unit="frames") as advance,
            ):
                for image in render_frames(pipeline, track, frames, lens):
                    writer.write(image)
                    advance()
            rate = len(frames) / (time.monotonic() - started_s)
        CONSOLE.print(
            f"Wrote {self.output} ({len(frames) / track.fps:.1f} s, {width} x {height} px, {track.fps:g} fps; "
            f"rendered at {rate:.1f} frames/s)"
        )
        if self.contact_sheet is not None:
            write_contact_sheet(self.output, len(frames), self.contact_sheet, track.fps)
            CONSOLE.print(f"Wrote {self.contact_sheet}")

    def _check(self) -> None:
        """Refuse what cannot work before the seconds that loading takes."""
        from ns_talking.scripts.loading import find_config

        find_config(self.load_config)
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise ValueError(
                f"--start {self.start:g} --end {'' if self.end is None else f'{self.end:g}'} leaves nothing to render. "
                "The start has to be 0 or more, and the end after it."
            )
        if self.size is not None and self.size < 16:
            raise ValueError(f"--size {self.size} is too small for a portrait. Choose 16 pixels or more.")
        if self.output.is_dir():
            raise ValueError(f"--output {self.output} is a folder. Name the file as well: {self.output / 'out.mp4'}")
        VideoWriter(self.output, 2, 2, 25.0, None, self.crf)
        _check_writable(self.output)
        if self.contact_sheet is not None:
            _check_writable(self.contact_sheet)
        if self.audio.exists() and self.output.exists() and self.audio.samefile(self.output):
            raise ValueError(f"--audio and --output are the same file, {self.output}. Name another output.")
        read_audio(self.audio, duration_s=0.1)


def frames_between(track: DrivingTrack, start_s: float, end_s: float | None) -> range:
    """Choose the frames of a part of a track; it looks the same as in the whole.

    Raises:
        ValueError: When the start lies behind the end of the sound.
    """
    start = int(start_s * track.fps + 0.5)
    end = track.num_frames if end_s is None else min(track.num_frames, max(start + 1, int(end_s * track.fps + 0.5)))
    if start >= track.num_frames:
        raise ValueError(f"--start {start_s:g} lies behind the end of the audio, which lasts {track.duration_s:.2f} s.")
    return range(start, end)


def render_frames(
    pipeline: PortraitPipeline, track: DrivingTrack, frames: range, lens: Lens
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Render frames of a track one by one.

    Args:
        pipeline: The portrait; its model uses the track already.
        track: What drives it.
        frames: Which frames of the track.
        lens: Focal length and size of the pictures.
    """
    import torch

    for frame in frames:
        camera = lens.camera(track.head_poses[frame], frame / track.num_frames)
        rgb = pipeline.model.get_outputs_for_camera(camera)["rgb"]
        yield (rgb.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()


def read_background(text: str) -> UInt8[np.ndarray, "height width 3"]:
    """Read an image file, or a colour as an image of one pixel.

    Raises:
        ValueError: When it is neither.
    """
    from PIL import ImageColor

    path = Path(text)
    if path.is_file():
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise ValueError(f"--background {path} is not an image that can be read. Use png or jpg.")
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    try:
        numbers = text.split(",")
        rgb = tuple(map(int, numbers)) if numbers[0].strip().isdigit() else ImageColor.getrgb(text)[:3]
    except ValueError:
        rgb = ()
    if len(rgb) != 3 or not all(0 <= level <= 255 for level in rgb):
        raise ValueError(
            f"--background {text!r} is neither an image file nor a colour. Colours are written as white, '#204080' or "
            "32,64,128."
        )
    return np.array(rgb, dtype=np.uint8)[None, None]


def covering(
    image: UInt8[np.ndarray, "source_height source_width 3"], width: int, height: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Scale an image to cover a frame, cutting off what stands out on both sides."""
    scale = max(width / image.shape[1], height / image.shape[0])
    size = max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def clip_lens(pipeline: PortraitPipeline, size: int | None) -> Lens:
    """Take the lens that the portrait was trained with.

    Args:
        pipeline: The portrait.
        size: Longer side wanted, in px; None keeps that of the training frames.
    """
    first = pipeline.datamanager.train_dataset.cameras[0]
    width, height = int(first.width), int(first.height)
    scale = 1.0 if size is None else size / max(width, height)
    return Lens(
        width=max(1, round(width * scale)),
        height=max(1, round(height * scale)),
        focal_px=float(first.fx) * scale,
        centre_px=(float(first.cx) * scale, float(first.cy) * scale),
    )


def _check_writable(path: Path) -> None:
    """Fail before rendering, not after it, when a file cannot be written."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written: {folder} is not a folder that you may write to. Choose another.")
