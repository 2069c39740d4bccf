"""Pictures for a person to judge: real beside rendered, the worst frames, and where on the face errors lie."""

from __future__ import annotations

import heapq
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from jaxtyping import UInt8

from ns_talking.evaluation.baseline_rows import RigidPoints, warped
from ns_talking.evaluation.subject import Image, Subject
from ns_talking.metrics.base import MeasuredFrame
from ns_talking.utils.video import VideoWriter, read_frames
from ns_talking.utils.video_mark import VideoMark

_TILE_PX = 256
_NUM_WORST = 8
_APART = 5
"""Frames between two of the worst: neighbours show the same fault."""
GAIN = 3
"""Factor on differences, which are too dark to be seen otherwise."""


def poster(video: Path) -> bytes:
    """Encode a video's first frame as JPEG: what is shown before it plays, and where it is printed."""
    frame = next(read_frames(video))
    return cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


class RowPictures(AbstractContextManager["RowPictures"]):
    """Collects pictures while a row is measured; memory does not grow with its length."""

    def __init__(
        self, subject: Subject, video: Path, sound: Path | None, max_seconds: float, mark: VideoMark | None = None
    ) -> None:
        """Open the video.

        Args:
            subject: What is evaluated.
            video: The mp4 of real, rendered and difference side by side.
            sound: Its sound.
            max_seconds: Its length at most.
            mark: Says what of it is synthetic.
        """
        self._subject = subject
        self._points = RigidPoints(subject.test)
        self._reference = self._points[int(subject.sources[len(subject) // 2])]
        width, height = subject.size
        self._error = np.zeros((height, width))
        self._face = np.zeros((height, width, 3))
        self._count = 0
        self._worst: list[tuple[float, int, np.ndarray]] = []
        self._limit = round(max_seconds * subject.fps)
        scale = max(1.0, _TILE_PX / max(width, height))
        self._tile = max(2, round(width * scale)), max(2, round(height * scale))
        start_s = float(subject.indices[0] / subject.fps) if sound else None
        size = 3 * self._tile[0], self._tile[1]
        self._writer = VideoWriter(video, *size, subject.fps, sound, 23, audio_start_s=start_s, mark=mark)

    def __enter__(self) -> RowPictures:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def add(self, frame: MeasuredFrame) -> None:
        """Look at the next frame."""
        assert frame.real is not None
        triple = self._triple(frame.rendered.image, frame.real.image)
        ahead = frame.index - int(self._subject.indices[0]) + 1
        while self._writer.num_frames < min(ahead, self._limit):
            self._writer.write(triple)
        difference = np.abs(frame.rendered.image.astype(np.float32) - frame.real.image).mean(axis=2)
        points = self._points[int(self._subject.sources[frame.number])]
        self._error += warped(difference, points, self._reference)[..., 0]
        self._face += warped(frame.real.image, points, self._reference)
        self._count += 1
        if frame.mouth is not None:
            x0, y0, x1, y1 = frame.mouth
            error = float(np.square(difference[y0:y1, x0:x1]).mean())
            self._keep(error, frame.index, self._labelled(triple, frame.index))

    def worst(self) -> UInt8[np.ndarray, "height width 3"]:
        """Lay out the frames whose mouths are furthest off, worst first: real, rendered, difference."""
        tiles = [triple for _, _, triple in sorted(self._worst, key=lambda entry: -entry[0])]
        tiles += [np.zeros_like(tiles[0])] * (len(tiles) % 2)
        return np.vstack([np.hstack(tiles[start : start + 2]) for start in range(0, len(tiles), 2)])

    def error_map(self) -> tuple[UInt8[np.ndarray, "height width 3"], float]:
        """Show the mean error of every place of the aligned face, over the mean face.

        Returns:
            The picture, and the error that its brightest colour stands for, in grey levels.
        """
        mean = self._error / max(self._count, 1)
        top = max(float(np.quantile(mean, 0.995)), 1e-6)
        heat = cv2.applyColorMap((np.clip(mean / top, 0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        grey = (self._face / max(self._count, 1)).mean(axis=2, keepdims=True)
        mixed = 0.3 * grey + 0.7 * cv2.cvtColor(heat, cv2.COLOR_BGR2RGB)
        picture = np.clip(np.concatenate([np.repeat(grey, 3, axis=2), mixed], axis=1), 0, 255).astype(np.uint8)
        scale = 1.5 * self._tile[0] / mean.shape[1]
        return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), top

    def _triple(self, rendered: Image, real: Image) -> UInt8[np.ndarray, "tile_height tile_width 3"]:
        difference = np.clip(GAIN * np.abs(rendered.astype(np.int16) - real), 0, 255).astype(np.uint8)
        tiles = [cv2.resize(image, self._tile, interpolation=cv2.INTER_CUBIC) for image in (real, rendered, difference)]
        return np.hstack(tiles)

    def _labelled(self, triple: np.ndarray, index: int) -> np.ndarray:
        """Write the instant into a corner, so that the frame can be found in the video."""
        text, place = f"{index / self._subject.fps:.2f} s", (6, triple.shape[0] - 8)
        labelled = triple.copy()
        for thickness, colour in ((3, (0, 0, 0)), (1, (255, 255, 255))):
            cv2.putText(labelled, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thickness, cv2.LINE_AA)
        return labelled

    def _keep(self, error: float, index: int, triple: np.ndarray) -> None:
        near = [entry for entry in self._worst if abs(entry[1] - index) < _APART]
        if near:
            if max(near)[0] >= error:
                return
            self._worst = [entry for entry in self._worst if abs(entry[1] - index) >= _APART]
            heapq.heapify(self._worst)
        if len(self._worst) < _NUM_WORST:
            heapq.heappush(self._worst, (error, index, triple))
        elif error > self._worst[0][0]:
            heapq.heapreplace(self._worst, (error, index, triple))
