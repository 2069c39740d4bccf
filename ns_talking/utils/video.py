"""Video files: frames of any video at one rate by time, and an mp4 writer that streams pictures and sound together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import DecoderNotFoundError, InvalidDataError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8

from ns_talking.utils.files import atomic_path
from ns_talking.utils.h264 import h264_options
from ns_talking.utils.media import (
    open_media,
    resampled,
    sound_stream,
    source_format,
    stream_samples,
    stream_start_s,
    video_stream,
)
from ns_talking.utils.video_mark import VideoMark

MADE_BY = "AI-generated: this talking portrait was synthesised by ns-talking"
"""Comment in the metadata of every mp4; it is lost when the video is encoded again."""
_BT709 = 1
"""Number of BT.709 among FFmpeg's primaries, transfer functions and matrices; also of limited range."""
_KNOWN_MATRICES: dict[int, int] = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
"""From FFmpeg's numbers of matrices to those of its scaler. PyAV has names for the latter, but none for BT.2020 before
its version 18, which Python 3.10 cannot have."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself; sizes are those of the upright picture with square pixels."""

    width: int
    height: int
    fps: float
    """Mean frame rate."""
    num_frames: int
    """As stated by the file, else duration times rate."""
    duration_s: float
    """Length of the video stream; 0 when the file does not say."""
    start_s: float
    """Instant of the first frame on the file's clock."""
    sound_start_s: float | None
    """Instant of the first sample on the same clock; None without sound."""
    rotation: int
    """Degrees, a multiple of 90, by which a player turns the stored picture counter-clockwise."""

    @property
    def has_sound(self) -> bool:
        """Whether there is a sound track."""
        return self.sound_start_s is not None


def video_info(path: Path) -> VideoInfo:
    """Read size, rate, length and start times of a video.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it holds no video, or not one frame can be decoded.
    """
    with open_media(path) as container:
        stream = _need_video(container, path)
        sound = sound_stream(container)
        sound_start_s = None if sound is None else stream_start_s(sound)
        first = next(_decoded(container, stream, path), None)
        if first is None:
            raise ValueError(f"Not one frame of {path} can be decoded. Export or copy the video again.")
        height, width = _upright(first).shape[:2]
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        duration_s = 0.0
        if stream.duration is not None and stream.time_base is not None:
            duration_s = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration_s = container.duration / av.time_base
        num_frames = stream.frames or round(duration_s * fps)
        rotation = round(first.rotation / 90) * 90 % 360
        return VideoInfo(width, height, fps, num_frames, duration_s, stream_start_s(stream), sound_start_s, rotation)


def read_frames(
    path: Path, fps: float = 25.0, start_s: float | None = None, max_seconds: float | None = None
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Read a video as upright RGB frames at a constant rate, whatever its own rate is.

    Frame k is the stored frame nearest in time to start_s + k / fps, so that a frame is never off by more than half
    a frame of the source; variable rates and dropped frames cause repeated frames, never drift.

    Args:
        path: Any video that FFmpeg's libraries read.
        fps: Frames per second to read.
        start_s: Instant of the first frame on the file's clock; None takes the first frame.
        max_seconds: Length at most.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it holds no video, or not one frame can be decoded.
    """
    yield from (frame for _, frame in timed_frames(path, fps, start_s, max_seconds))


def timed_frames(
    path: Path, fps: float = 25.0, start_s: float | None = None, max_seconds: float | None = None
) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
    """Read what `read_frames` reads, each frame with the instant at which the video stores it, in seconds."""
    limit = None if max_seconds is None else round(max_seconds * fps)
    with open_media(path) as container:
        stream = _need_video(container, path)
        count = 0
        last: VideoFrame | None = None
        picture = None
        last_s = end_s = 0.0
        step_s = 1 / float(stream.average_rate or stream.guessed_rate or fps)
        for frame in _decoded(container, stream, path):
            time_s = frame.time if frame.time is not None else end_s
            start_s = time_s if start_s is None else start_s
            if last is not None:
                between = (last_s + time_s) / 2
                # A microsecond decides ties, which rounding would decide at random, for the frame already on show.
                while start_s + count / fps <= between + 1e-6 and count != limit:
                    picture = _upright(last) if picture is None else picture
                    yield last_s, picture
                    count += 1
                if count == limit:
                    return
            last, last_s, picture = frame, time_s, None
            end_s = time_s + (float(frame.duration * frame.time_base) if frame.duration and frame.time_base else step_s)
        if last is None or start_s is None:
            raise ValueError(f"Not one frame of {path} can be decoded. Export or copy the video again.")
        total = int(np.floor((end_s - start_s) * fps + 0.5 + 1e-6))
        while count < (total if limit is None else min(total, limit)):
            picture = _upright(last) if picture is None else picture
            yield last_s, picture
            count += 1


class VideoWriter:
    """Writes an mp4 (H.264, AAC) frame by frame at constant memory; a context manager.

    The sound is padded with silence or cut to the length of the pictures. The file appears when the block ends
    without an error, complete; after an error or an interruption there is none. Players that know only even sizes
    are served by repeating the last row or column of an odd size.
    """

    suffixes: tuple[str, ...] = (".mp4",)
    """Endings that the path may have."""
    channels = 3
    """Of a frame: RGB."""

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        fps: float,
        audio: Path | Float[np.ndarray, " samples"] | None,
        crf: int = 18,
        *,
        audio_start_s: float | None = None,
        sample_rate: int = 16_000,
        title: str = "Talking portrait",
        comment: str = MADE_BY,
        mark: VideoMark | None = None,
    ) -> None:
        """Say what to write; nothing is opened before the block begins.

        Args:
            path: The mp4.
            width: Width of the frames in px.
            height: Height of the frames in px.
            fps: Frames per second.
            audio: A file with sound, mono samples, or None for no sound track.
            crf: Constant rate factor of x264, 0 lossless to 51 worst.
            audio_start_s: Where in the file's sound the video begins, as in `read_audio`.
            sample_rate: Rate of `audio` in Hz when it is samples.
            title: Title in the metadata.
            comment: Comment in the metadata; empty for none.
            mark: Puts a watermark into the frames, signs the file before it appears, and gives the comment.

        Raises:
            ValueError: When the name does not end in .mp4, or a number is out of range.
        """
        if Path(path).suffix.lower() not in self.suffixes:
            raise ValueError(f"The video is written as mp4, but {Path(path).name!r} does not end in .mp4. Rename it.")
        if width < 1 or height < 1 or fps <= 0 or not 0 <= crf <= 51:
            raise ValueError(
                f"Cannot write a video of {width} x {height} px at {fps} fps with crf {crf}: sizes and rate have to "
                "be positive, crf between 0 and 51."
            )
        self.path = Path(path)
        self.fps = fps
        self.num_frames = 0
        self._size = (height, width)
        self._rate = Fraction(fps).limit_denominator(1001)
        self._crf = crf
        self._audio, self._audio_start_s, self._array_rate = audio, audio_start_s, sample_rate
        self._mark = mark
        self._metadata = {"title": title, "comment": comment if mark is None else mark.comment}
        self._stack = ExitStack()

    def __enter__(self) -> VideoWriter:
        """Open the file beside its place."""
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            stack.push(partial(self._sign, temporary))
            container_format, options = self._container_options()
            self._container = av.open(str(temporary), "w", format=container_format, options=options)
            stack.callback(self._container.close)
            self._container.metadata.update(self._metadata)
            self._open_pictures()
            self._open_sound()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Finish the file and move it into place, or remove it after an error."""
        with self._stack:
            if error is not None:
                raise error
            if self.num_frames == 0:
                raise ValueError(f"No frame was written to {self.path}, so there is no video.")
            if self._sound is not None:
                self._sound.advance(self.num_frames / self._rate, last=True)
            self._finish_pictures()

    def _sign(self, path: Path, kind: object, error: BaseException | None, traceback: object) -> None:
        """Mark the closed file, unless there was an error."""
        if self._mark is not None and error is None:
            self._mark.apply(path, self.path.name)

    def write(self, frame: UInt8[np.ndarray, "height width channels"]) -> None:
        """Append one RGB frame.

        Raises:
            ValueError: When it has another size or type than announced.
        """
        if frame.shape != (*self._size, self.channels) or frame.dtype != np.uint8:
            raise ValueError(
                f"Frame {self.num_frames} is {frame.dtype} {frame.shape}, the video was opened for uint8 "
                f"{(*self._size, self.channels)}."
            )
        frame = frame if self._mark is None else self._mark.imprint(frame)
        height, width = self._size
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = self._picture(np.ascontiguousarray(frame))
        picture.pts = self.num_frames
        picture.time_base = 1 / self._rate
        self._container.mux(self._pictures.encode(picture))
        self.num_frames += 1
        if self._sound is not None:
            self._sound.advance(self.num_frames / self._rate)

    @property
    def sound_codec(self) -> str:
        """Encoder of the sound track."""
        return "aac"

    def _container_options(self) -> tuple[str, dict[str, str]]:
        return "mp4", {"movflags": "+faststart"}

    def _open_pictures(self) -> None:
        stream = self._container.add_stream("libx264", rate=self._rate, options=h264_options(self._crf))
        assert isinstance(stream, VideoStream)
        self._fit(stream, "yuv420p")
        self._pictures = stream

    def _finish_pictures(self) -> None:
        self._container.mux(self._pictures.encode(None))

    def _open_sound(self) -> None:
        self._sound = None if self._audio is None else _Sound(self, self._audio)

    def _fit(self, stream: VideoStream, pixel_format: str) -> None:
        height, width = self._size
        context = stream.codec_context
        context.width, context.height = width + width % 2, height + height % 2
        context.pix_fmt = pixel_format
        context.color_primaries = context.color_trc = context.colorspace = context.color_range = _BT709

    def _picture(self, frame: UInt8[np.ndarray, "height width channels"]) -> VideoFrame:
        return VideoFrame.from_ndarray(frame, "rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )


class _Sound:
    """The sound track of a writer, encoded as far as the pictures have come."""

    def __init__(self, writer: VideoWriter, audio: Path | Float[np.ndarray, " samples"]) -> None:
        # AAC pads its last frame of 1024 samples, which lasts longer than a picture at low rates.
        if isinstance(audio, np.ndarray):
            if audio.ndim != 1:
                raise ValueError(f"Samples for the sound track are mono, found shape {audio.shape}.")
            self._rate, self._channels = 48_000, 1
            whole = iter([np.ascontiguousarray(audio[None], dtype=np.float32)])
            self._blocks = resampled(whole, writer._array_rate, self._rate)
        else:
            source_rate, num_channels = source_format(audio)
            keeps_rate = source_rate == 44_100 and writer.sound_codec == "aac"
            self._rate, self._channels = 44_100 if keeps_rate else 48_000, min(2, num_channels)
            self._blocks = stream_samples(audio, self._rate, self._channels, writer._audio_start_s, block_s=1.0)
        self._layout = "mono" if self._channels == 1 else "stereo"
        self._container = writer._container
        stream = writer._container.add_stream(writer.sound_codec, rate=self._rate, layout=self._layout)
        assert isinstance(stream, AudioStream)
        self._stream = stream
        self._stream.bit_rate = 96_000 * self._channels
        self._waiting = np.zeros((self._channels, 0), dtype=np.float32)
        self._position = 0

    def advance(self, end_s: Fraction, last: bool = False) -> None:
        """Encode up to an instant; at the last one, the remainder too."""
        end = round(end_s * self._rate)
        size = self._stream.codec_context.frame_size or 1024
        while self._position < end and (last or end - self._position >= size):
            count = min(size, end - self._position)
            frame = av.AudioFrame.from_ndarray(self._take(count), "fltp", self._layout)
            frame.sample_rate = self._rate
            frame.pts = self._position
            frame.time_base = Fraction(1, self._rate)
            self._container.mux(self._stream.encode(frame))
            self._position += count
        if last:
            self._container.mux(self._stream.encode(None))

    def _take(self, count: int) -> Float[np.ndarray, "channels samples"]:
        while self._waiting.shape[1] < count:
            block = next(self._blocks, None)
            if block is None:
                block = np.zeros((self._channels, count - self._waiting.shape[1]), dtype=np.float32)
            self._waiting = np.concatenate([self._waiting, block], axis=1)
        taken, self._waiting = self._waiting[:, :count], self._waiting[:, count:]
        return np.clip(taken, -1, 1)


def _need_video(container: InputContainer, path: Path) -> VideoStream:
    stream = video_stream(container)
    if stream is None:
        raise ValueError(f"{path} has no video track. Name a video of a speaking person.")
    stream.thread_type = "AUTO"
    return stream


def _decoded(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[VideoFrame]:
    """Decode all frames in the order of display, leaving damaged ones out."""
    num_damaged = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            yield from packet.decode()
        except DecoderNotFoundError:
            raise ValueError(f"{path} is encoded in a way that FFmpeg cannot decode. Export it as mp4.") from None
        except InvalidDataError:
            num_damaged += 1
            if num_damaged > 1000:
                break
    if num_damaged:
        warnings.warn(f"{path}: {num_damaged} damaged pieces of video were left out.", stacklevel=2)


def _upright(frame: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
    """Convert to RGB by the matrix the video states, with square pixels, turned as the camera was held."""
    matrix = _KNOWN_MATRICES.get(int(frame.colorspace))
    if matrix is None:
        matrix = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
    rgb = frame.reformat(format="rgb24", src_colorspace=matrix, dst_colorspace=matrix).to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90) % 4))
