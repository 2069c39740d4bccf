"""Small videos with known pictures, timestamps and sound, and a detector that finds red discs instead of faces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np

from ns_talking.process.landmark_detectors import Face

SOUND_HZ = 16_000
_TICKS = 12_000


def write_video(
    path: Path,
    pictures: Iterable[np.ndarray],
    fps: float = 25.0,
    instants: Sequence[float] | None = None,
    sound: np.ndarray | None = None,
    sound_start_s: float = 0.0,
) -> Path:
    """Write RGB pictures at a rate or at given instants, with 16 kHz sound that starts at an instant of its own."""
    pictures = list(pictures)
    instants = [k / fps for k in range(len(pictures))] if instants is None else instants
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        video.width, video.height, video.pix_fmt = width, height, "yuv444p"
        video.options = {"crf": "10", "preset": "ultrafast", "bf": "0"}
        video.codec_context.time_base = Fraction(1, _TICKS)
        audio = None
        if sound is not None:
            audio = container.add_stream("pcm_s16le" if path.suffix in (".mkv", ".mov") else "aac", rate=SOUND_HZ)
            audio.codec_context.layout = "mono"
        for picture, instant in zip(pictures, instants, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = round(instant * _TICKS), Fraction(1, _TICKS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            position = round(sound_start_s * SOUND_HZ)
            for begin in range(0, len(sound), 1024):
                block = (np.clip(sound[begin : begin + 1024], -1, 1) * 32767).astype(np.int16)[None]
                frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = SOUND_HZ, position + begin, Fraction(1, SOUND_HZ)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def silence(seconds: float) -> np.ndarray:
    """Digital silence."""
    return np.zeros(round(seconds * SOUND_HZ), dtype=np.float32)


def grey(level: float, width: int = 96, height: int = 96) -> np.ndarray:
    """A plain picture of a level in [0, 1]."""
    return np.full((height, width, 3), round(level * 255), dtype=np.uint8)


def discs(
    *places: tuple[float, float, float], width: int = 96, height: int = 96, background: Sequence[int] = (20, 60, 20)
) -> np.ndarray:
    """Red discs, each a "face", at (x, y) with a radius."""
    picture = np.tile(np.array(background, dtype=np.uint8), (height, width, 1))
    for x, y, radius in places:
        cv2.circle(picture, (round(x * 16), round(y * 16)), round(radius * 16), (250, 20, 20), -1, cv2.LINE_AA, 4)
    return picture


class DiscDetector:
    """Finds red discs; each is a face whose 68 landmarks are a fixed shape of the disc's size."""

    scheme = "ibug68"
    version = "discs"

    def __init__(self, models: Path | None) -> None:
        pass

    def detect(self, image: np.ndarray) -> list[Face]:
        """Find all discs."""
        red = ((image[..., 0] > 128) & (image[..., 1] < 100)).astype(np.uint8)
        count, _, stats, centres = cv2.connectedComponentsWithStats(red)
        faces = []
        for which in range(1, count):
            if stats[which, cv2.CC_STAT_AREA] > 30:
                # The height survives where the edge of the picture cuts the disc off at a side.
                radius = stats[which, cv2.CC_STAT_HEIGHT] / 2
                x = centres[which][0]
                if stats[which, cv2.CC_STAT_LEFT] == 0:
                    x = stats[which, cv2.CC_STAT_WIDTH] - radius
                faces.append(Face(_place(x + 0.5, centres[which][1] + 0.5, radius)))
        return faces

    def __enter__(self) -> DiscDetector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def face_shape() -> np.ndarray:
    """A rigid head with 68 points in the layout of iBUG, outer eye corners 1 apart, x right, y down, z back."""
    generator = np.random.default_rng(0)
    angles = np.linspace(0.05, np.pi - 0.05, 17)
    jaw = np.stack([-0.8 * np.cos(angles), 0.9 * np.sin(angles) - 0.1, 0.6 - 0.5 * np.sin(angles)], axis=1)
    points = np.concatenate([jaw, generator.uniform(-0.4, 0.4, (51, 3))])
    points[17:27] = np.stack([np.linspace(-0.5, 0.5, 10), np.full(10, -0.35), np.full(10, -0.05)], axis=1)
    points[27:31] = [[0, -0.1, -0.1], [0, 0.05, -0.2], [0, 0.2, -0.3], [0, 0.32, -0.38]]
    points[31:36] = [[-0.15, 0.4, -0.15], [-0.08, 0.42, -0.2], [0, 0.43, -0.22], [0.08, 0.42, -0.2], [0.15, 0.4, -0.15]]
    for first, sign in ((36, 1), (42, -1)):
        eye = np.array([[-0.5, 0], [-0.4, -0.05], [-0.3, -0.05], [-0.2, 0], [-0.3, 0.05], [-0.4, 0.05]])
        order = [0, 1, 2, 3, 4, 5] if sign > 0 else [3, 2, 1, 0, 5, 4]
        points[first : first + 6] = np.column_stack([eye[order] * [sign, 1], np.zeros(6)])
    lips = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    points[48:60] = np.stack([-0.25 * np.cos(lips), 0.65 - 0.08 * np.sin(lips), np.full(12, -0.15)], axis=1)
    inner = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    points[60:68] = np.stack([-0.18 * np.cos(inner), 0.65 - 0.03 * np.sin(inner), np.full(8, -0.14)], axis=1)
    return points


def _place(x: float, y: float, radius: float) -> np.ndarray:
    points = face_shape() * radius
    points[:, :2] += [x, y]
    return points.astype(np.float32)
