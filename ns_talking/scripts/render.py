"""`ns-talking render`: a trained portrait speaks any audio, as an mp4."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import UInt8

from ns_talking.audio.io import read_audio
from ns_talking.provenance.certificate import credential
from ns_talking.provenance.marking import Mark, make_mark
from ns_talking.provenance.unmarked import UNMARKED, note_unmarked
from ns_talking.utils.alpha_video import TransparentVideoWriter, check_transparent
from ns_talking.utils.backgrounds import covering, is_video, read_background, video_background
from ns_talking.utils.contact_sheet import write_contact_sheet
from ns_talking.utils.files import sha256
from ns_talking.utils.media import file_start_s, open_media
from ns_talking.utils.paste_back import PasteBack
from ns_talking.utils.progress import CONSOLE, progress
from ns_talking.utils.resumable_pictures import ResumablePictureWriter
from ns_talking.utils.resumable_video import ResumableVideoWriter
from ns_talking.utils.video import VideoWriter, video_info

if TYPE_CHECKING:
    from ns_talking.driving.track import DrivingTrack
    from ns_talking.pipelines.control import Controls
    from ns_talking.pipelines.frames import Lens
    from ns_talking.pipelines.portrait import PortraitPipeline

_NOT_SEEN = ("load_config", "data", "output", "contact_sheet", "certificate", "private_key", "end")
"""Options that change no picture, or are hashed by what they stand for."""


@dataclass
class Render:
    """Render a trained portrait speaking any audio.

    Any sample rate, number of channels and length will do: frames stream into the file. The head moves and blinks as
    in the clip it was trained on, forward and backward in turns for as long as the audio lasts.
    """

    load_config: Path
    """config.yml that `ns-train` wrote, or its folder; or a .portrait file that `ns-talking pack` wrote."""
    audio: Path
    """Sound or video file with the speech."""
    output: Path
    """The mp4 to write; without a background .mov, .webm, or a folder of PNG files."""
    pose: str = "track"
    """`track` moves the head as in the clip, `still` holds it. A dataset (folder) lends how its head moves around its
    usual pose; a file (.npy, .json) holds camera-to-world matrices, taken as they stand. All but `still` are played
    forward and backward."""
    smooth: float = 0.0
    """Smooth the head's motion: standard deviation of the Gaussian in seconds; 0.08 takes trembling away."""
    blink: str = "track"
    """`track` blinks as in the clip, `off` never, `natural` some 15 times a minute; or a file (.npy, .csv) with one
    number per frame, 0 open to 1 closed, for example OpenFace's."""
    eyes: float | None = None
    """How far the lids are closed at least, 0 wide open to 1 shut; left out, as the blinks say."""
    background: str | None = None
    """Image or video file; colour such as white, '#204080' or 32,64,128; or `transparent`, for an output that ends in
    .mov (ProRes 4444), .webm (VP9) or nothing (a folder of PNG files). Left out, the clip's own background."""
    paste_back: Path | None = None
    """The video that was processed: each frame is put back into the one that lent its pose, at full size and with a
    soft edge."""
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
    silence: Literal["rest", "off"] = "rest"
    """While nobody speaks, `rest` eases the mouth to how the speaker holds it in the clip's own pauses; `off` lets
    every sound move it."""
    features: Path | None = None
    """Audio features of the sound (.npy), for a portrait trained on those of another tool."""
    data: Path | None = None
    """The dataset that the portrait was trained on, where it was moved."""
    contact_sheet: Path | None = None
    """PNG to write with 24 frames of the video and their times."""
    mark: bool = True
    """Say in the video, by a signed C2PA manifest, plain metadata and a watermark, that it is synthetic. With
    `--no-mark` the duty to say so, which many countries have by law, is yours alone; that is noted in unmarked.jsonl
    beside the config."""
    certificate: Path | None = None
    """PEM file with your certificate chain to sign with; left out, what NS_TALKING_CERTIFICATE names, else a
    certificate made on this machine, which readers call untrusted."""
    private_key: Path | None = None
    """PEM file with the certificate's private key; left out, what NS_TALKING_PRIVATE_KEY names."""

    def main(self) -> None:
        """Render."""
        self._check()
        from ns_talking.pipelines.control import controlled
        from ns_talking.pipelines.frames import clip_lens, frames_between
        from ns_talking.pipelines.origin import portrait_origin
        from ns_talking.scripts.loading import find_config, load_portrait

        pipeline = load_portrait(self.load_config, self.data)
        paste = None
        if self.paste_back is not None:
            paste = PasteBack(self.paste_back, pipeline.portrait_model.portrait.folder)
        with tempfile.TemporaryDirectory(prefix="ns-talking-", ignore_cleanup_errors=True) as folder:
            track = pipeline.set_audio(
                self.audio,
                "still" if self.pose == "still" else "track",
                output=Path(folder) / "features.npy",
                start_frame=self.start_frame,
                silence=self.silence,
                features=self.features,
            )
            track = pipeline.portrait_model.track = controlled(track, pipeline.clip_track, self._controls())
            frames = frames_between(track, self.start, self.end)
            lens = clip_lens(pipeline, self.size)
            width, height = (lens.width, lens.height) if paste is None else (paste.width, paste.height)
            CONSOLE.print(f"Read {self.audio}: {track.features.duration_s:.1f} s of {track.features.name} features")
            mark = None
            if self.mark:
                origin = portrait_origin(pipeline, composite=paste is not None)
                mark = make_mark(origin, self.certificate, self.private_key)
            writer = self._writer(pipeline, width, height, track.fps, frames, mark)
            with writer, progress("Rendering", total=len(frames), unit="frames") as advance:
                left = frames[writer.num_frames :]
                if writer.num_frames:
                    CONSOLE.print(f"Going on after {writer.num_frames / track.fps:.1f} s that an earlier run rendered.")
                    advance(writer.num_frames)
                images = self._images(pipeline, track, left, lens)
                if paste is not None:
                    images = paste.pasted(images, track.source_frames[left.start : left.stop].tolist())
                started_s = time.monotonic()
                for image in images:
                    writer.write(image)
                    advance()
            rate = len(left) / (time.monotonic() - started_s)
        CONSOLE.print(
            f"Wrote {self.output} ({len(frames) / track.fps:.1f} s, {width} x {height} px, {track.fps:g} fps; "
            f"rendered at {rate:.1f} frames/s)"
        )
        if not self.mark:
            note_unmarked(self.output, find_config(self.load_config).parent, "--no-mark")
        if self.contact_sheet is not None:
            write_contact_sheet(self.output, len(frames), self.contact_sheet, track.fps)
            CONSOLE.print(f"Wrote {self.contact_sheet}")

    @property
    def _transparent(self) -> bool:
        return self.background == "transparent"

    def _controls(self) -> Controls:
        from ns_talking.pipelines.control import Controls

        return Controls(self.pose, self.blink, self.eyes, self.smooth)

    def _images(
        self, pipeline: PortraitPipeline, track: DrivingTrack, frames: range, lens: Lens
    ) -> Iterator[UInt8[np.ndarray, "height width channels"]]:
        """Render the frames over the background asked for."""
        from ns_talking.pipelines.frames import over_moving, render_frames

        images = render_frames(pipeline, track, frames, lens, self._transparent)
        if self.background is None or self._transparent:
            return images
        if is_video(self.background):
            backgrounds = video_background(Path(self.background), track.fps, frames.start)
            return over_moving(pipeline, images, backgrounds, lens)
        pipeline.portrait_model.set_background(covering(read_background(self.background), lens.width, lens.height))
        return images

    def _writer(
        self, pipeline: PortraitPipeline, width: int, height: int, fps: float, frames: range, mark: Mark | None
    ) -> ResumableVideoWriter | ResumablePictureWriter:
        with open_media(self.audio) as container:
            start_s = file_start_s(container) + frames.start / fps
        content = self._content(pipeline, frames)
        if self._transparent and self.output.suffix == "":
            if mark is not None:
                CONSOLE.print(
                    "PNG files carry no mark: say where you show them that they are synthetic.", style="yellow"
                )
            return ResumablePictureWriter(self.output, content)

        def part(path: Path) -> VideoWriter:
            kind = TransparentVideoWriter if self._transparent else VideoWriter
            return kind(path, width, height, fps, None, self.crf, comment="")

        def whole(path: Path, kind: type[VideoWriter]) -> VideoWriter:
            return kind(path, width, height, fps, self.audio, self.crf, audio_start_s=start_s, comment="", mark=mark)

        return ResumableVideoWriter(self.output, fps, part, whole, content, mark)

    def _content(self, pipeline: PortraitPipeline, frames: range) -> dict[str, Any]:  # Any: JSON.
        """Name all that the pictures depend on."""
        from ns_talking.pipelines.origin import weights_digest

        options = {name: value for name, value in vars(self).items() if name not in _NOT_SEEN}
        files = {name: Path(str(value)) for name, value in options.items()}
        return {
            "options": {name: str(value) for name, value in options.items()},
            "files": {name: sha256(path) for name, path in files.items() if path.is_file()},
            "portrait": [weights_digest(pipeline.state_dict()), pipeline.clip.digest],
            "frames": [frames.start, frames.stop],
            "versions": {name: version(name) for name in ("ns-talking", "torch", "av")},
        }

    def _check(self) -> None:
        """Refuse what cannot work before the seconds that loading takes."""
        from ns_talking.scripts.loading import find_config

        config = find_config(self.load_config)
        if not self.mark:
            _check_writable(config.parent / UNMARKED)
        elif self.certificate is not None or self.private_key is not None:
            credential(self.certificate, self.private_key)
        check_span(self.start, self.end)
        if self.size is not None and self.size < 16:
            raise ValueError(f"--size {self.size} is too small for a portrait. Choose 16 pixels or more.")
        if self.output.is_dir():
            raise ValueError(f"--output {self.output} is a folder. Name the file as well: {self.output / 'out.mp4'}")
        if self._transparent:
            check_transparent(self.output)
        else:
            VideoWriter(self.output, 2, 2, 25.0, None, self.crf)
            if self.background is not None and is_video(self.background):
                video_info(Path(self.background))
            elif self.background is not None:
                read_background(self.background)
        _check_writable(self.output)
        if self.contact_sheet is not None:
            _check_writable(self.contact_sheet)
            if self.output.suffix == "":
                raise ValueError("--contact-sheet shows frames of a video, and --output is a folder of PNG files.")
        if self.paste_back is not None and (self.pose != "track" or self.background is not None):
            raise ValueError(
                "--paste-back puts the head back onto the body that was filmed with it, so it goes with --pose track "
                "and the clip's own background. Leave --pose and --background out."
            )
        if self.audio.exists() and self.output.exists() and self.audio.samefile(self.output):
            raise ValueError(f"--audio and --output are the same file, {self.output}. Name another output.")
        read_audio(self.audio, duration_s=0.1)
        self._controls().check()


def check_span(start_s: float, end_s: float | None) -> None:
    """Refuse a part of the sound that is empty.

    Raises:
        ValueError: When the end does not lie behind the start, or the start before the sound.
    """
    if start_s < 0 or (end_s is not None and end_s <= start_s):
        raise ValueError(
            f"--start {start_s:g} --end {'' if end_s is None else f'{end_s:g}'} leaves nothing to render. "
            "The start has to be 0 or more, and the end after it."
        )


def _check_writable(path: Path) -> None:
    """Fail before rendering, not after it, when a file cannot be written."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written: {folder} is not a folder that you may write to. Choose another.")
