"""Video with transparency: ProRes 4444 (.mov) or VP9 (.webm)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from jaxtyping import UInt8

from ns_talking.utils.video import VideoWriter

TRANSPARENT_SUFFIXES = (".mov", ".webm", "")
"""Endings of a transparent output; without one it is a folder."""


class TransparentVideoWriter(VideoWriter):
    """Writes RGBA frames, colours not multiplied by alpha, with sound; used as `VideoWriter`.

    `.mov` holds ProRes 4444, which every editor reads, large and nearly lossless; `.webm` holds VP9, which browsers
    play, small.
    """

    suffixes = (".mov", ".webm")
    channels = 4

    @property
    def sound_codec(self) -> str:
        """Encoder of the sound track."""
        return "libopus" if self.path.suffix == ".webm" else "aac"

    def _container_options(self) -> tuple[str, dict[str, str]]:
        return self.path.suffix[1:], {}

    def _open_pictures(self) -> None:
        webm = self.path.suffix == ".webm"
        options = {"crf": str(self._crf), "b": "0", "auto-alt-ref": "0", "cpu-used": "4", "row-mt": "1"}
        stream = self._container.add_stream(
            "libvpx-vp9" if webm else "prores_ks", rate=self._rate, options=options if webm else {"profile": "4444"}
        )
        assert isinstance(stream, VideoStream)
        self._fit(stream, "yuva420p" if webm else "yuva444p10le")
        if webm:
            stream.metadata["alpha_mode"] = "1"
        self._pictures = stream

    def _picture(self, frame: UInt8[np.ndarray, "height width 4"]) -> VideoFrame:
        picture = VideoFrame.from_ndarray(frame, "rgba").reformat(
            format=self._pictures.codec_context.pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        if picture.format.name == "yuva444p10le":
            # FFmpeg's conversion to ten bits now and then spoils eight pixels of alpha in a row (PyAV 18).
            plane = picture.planes[3]
            rows = np.zeros((plane.height, plane.line_size // 2), np.dtype("<u2"))
            rows[:, : plane.width] = (frame[..., 3].astype(np.uint32) * 1023 + 127) // 255
            plane.update(rows.tobytes())
        return picture


def check_transparent(path: Path) -> None:
    """Refuse a path whose ending stands for no format with transparency.

    Raises:
        ValueError: With the endings that do.
    """
    if path.suffix not in TRANSPARENT_SUFFIXES:
        raise ValueError(
            f"{path.name!r} cannot be transparent. Name the output .mov (ProRes 4444, for editors), .webm (VP9, for "
            "browsers), or a folder without ending (PNG files, no sound)."
        )
