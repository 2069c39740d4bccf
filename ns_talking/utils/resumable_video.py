"""A video that is written in parts, so that an interruption costs no more than the part it fell into."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.video.stream import VideoStream
from jaxtyping import UInt8

from ns_talking.utils.alpha_video import TransparentVideoWriter
from ns_talking.utils.files import sha256
from ns_talking.utils.progress import CONSOLE
from ns_talking.utils.unfinished import UnfinishedFolder
from ns_talking.utils.video import VideoWriter
from ns_talking.utils.video_mark import VideoMark

PART_FRAMES = 250
"""Frames in a part: as many as x264 puts between two key frames anyway, so that parts cost nothing there."""


class ResumableVideoWriter:
    """Writes what `VideoWriter` writes, and goes on where an earlier run with the same content was stopped.

    Parts of the picture wait in a hidden folder beside the video; they are joined, without encoding them again, and the
    sound is added when the last one is there. Part or not, the video is the same: every run writes the same parts.

    Attributes:
        num_frames: Frames that are there, those of earlier runs included: the next one to write.
    """

    def __init__(
        self,
        path: Path,
        fps: float,
        writer: Callable[[Path], VideoWriter],
        joined: Callable[[Path, type[VideoWriter]], VideoWriter],
        content: Mapping[str, Any],  # Any: JSON.
        mark: VideoMark | None = None,
    ) -> None:
        """Say what to write.

        Args:
            path: The video; its ending says which kind.
            fps: Frames per second.
            writer: Makes the writer of a part, without sound or mark.
            joined: Makes the writer of the video, of the given type, with sound and mark.
            content: All that the pictures depend on; parts of another content are thrown away.
            mark: Puts the watermark into the pictures, which are joined without being encoded again.
        """
        self.path, self.num_frames = path, 0
        self._fps, self._mark = fps, mark
        self._part_writer, self._joined = writer, joined
        self._unfinished = UnfinishedFolder(path, content)
        self._parts: list[Path] = []
        self._stack = ExitStack()
        self._part: VideoWriter | None = None

    def __enter__(self) -> ResumableVideoWriter:
        """Take over what is there.

        Raises:
            ValueError: When another process writes this video.
        """
        self._parts = self._unfinished.open(_whole_parts)
        self._stack = ExitStack()
        self._stack.callback(self._unfinished.close)
        self.num_frames = len(self._parts) * PART_FRAMES
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Join the parts, or keep the complete ones after an error."""
        with self._stack:
            if error is not None:
                self._stop(kind, error, traceback)
                return
            self._finish_part()
            joining = _JoiningWriter if self.path.suffix == ".mp4" else _JoiningTransparentWriter
            with self._joined(self.path, joining) as whole:
                assert isinstance(whole, _Joining)
                for part in self._parts:
                    whole.append(part)
            self._unfinished.remove()

    def _stop(self, kind: type[BaseException] | None, error: BaseException, traceback: TracebackType | None) -> None:
        """Give up the part that is being written, and say what is kept."""
        try:
            if self._part is not None:
                self._part.__exit__(kind, error, traceback)
        finally:
            if self._parts:
                seconds = len(self._parts) * PART_FRAMES / self._fps
                CONSOLE.print(
                    f"{seconds:.1f} s of {self.path} are kept in {self._unfinished.path}. "
                    "The same command goes on from there.",
                    markup=False,
                    soft_wrap=True,
                )
            else:
                self._unfinished.remove()
                if self.num_frames:
                    CONSOLE.print(
                        f"Nothing of {self.path} is kept: that begins with the first "
                        f"{PART_FRAMES / self._fps:.0f} s. The same command starts again.",
                        markup=False,
                        soft_wrap=True,
                    )

    def write(self, frame: UInt8[np.ndarray, "height width channels"]) -> None:
        """Append one frame, RGB or RGBA as the parts take it.

        Raises:
            ValueError: When it has another size or type than announced.
        """
        if self._part is None:
            self._part = self._part_writer(self._unfinished.path / f"new{self.path.suffix}")
            self._part.__enter__()
        self._part.write(frame if self._mark is None else self._mark.imprint(frame))
        self.num_frames += 1
        if self._part.num_frames == PART_FRAMES:
            self._finish_part()

    def _finish_part(self) -> None:
        if self._part is None:
            return
        part, self._part = self._part, None
        part.__exit__(None, None, None)
        # The name tells later whether the content is still what was written.
        path = part.path.with_name(f"{len(self._parts):06d}-{sha256(part.path)[:16]}{self.path.suffix}")
        os.replace(part.path, path)
        self._parts.append(path)


class _Joining(VideoWriter):
    """A writer that is given encoded pictures."""

    def append(self, part: Path) -> None:
        """Add all pictures of a part behind those that are there."""
        with av.open(str(part)) as source:
            stream = source.streams.video[0]
            if self.num_frames == 0:
                self._prepare(stream)
            assert stream.time_base is not None
            offset = round(self.num_frames / self._rate / stream.time_base)
            for packet in source.demux(stream):
                if packet.dts is None or packet.pts is None:
                    continue
                packet.pts += offset
                packet.dts += offset
                packet.stream = self._pictures
                self._container.mux(packet)
                self.num_frames += 1
                if self._sound is not None:
                    self._sound.advance(self.num_frames / self._rate)

    def _open_pictures(self) -> None:
        """Wait for the first part, which knows its encoding."""

    def _open_sound(self) -> None:
        """Wait for the pictures, which come first in the file."""
        self._sound = None

    def _prepare(self, stream: VideoStream) -> None:
        if hasattr(self._container, "add_stream_from_template"):
            self._pictures = self._container.add_stream_from_template(stream)
        else:
            self._pictures = self._container.add_stream(template=stream)  # pyright: ignore[reportCallIssue] # PyAV < 14
        super()._open_sound()

    def _finish_pictures(self) -> None:
        """Nothing waits in an encoder."""


class _JoiningWriter(_Joining):
    """Of an mp4."""


class _JoiningTransparentWriter(_Joining, TransparentVideoWriter):
    """Of a video with transparency."""


def _whole_parts(folder: Path) -> list[Path]:
    """Find the parts from the first to the last that is as it was written; a shorter one ends the video."""
    found: list[Path] = []
    for path in sorted(folder.glob("[0-9]*-*.*")):
        number, digest = path.stem.split("-", 1)
        if number != f"{len(found):06d}" or sha256(path)[:16] != digest or _num_frames(path) != PART_FRAMES:
            break
        found.append(path)
    return found


def _num_frames(part: Path) -> int:
    with av.open(str(part)) as container:
        # WebM does not say how many there are.
        return container.streams.video[0].frames or sum(packet.pts is not None for packet in container.demux(video=0))
