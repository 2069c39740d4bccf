"""LSE-C and LSE-D: how surely, and how closely, SyncNet finds lips and sound together.

Source:
    Prajwal et al., "A lip sync expert is all you need for speech to lip generation in the wild", ACM MM 2020: LSE-D is
    the smallest mean distance over lags of +-15 frames (lower is better), LSE-C the median over lags minus it (higher
    is better). The crop is that of SyncNet's release, around a box of the landmarks instead of its face detector's,
    and frames are not encoded again before they are looked at (our reconstruction).

The measure is fragile: another codec moves it by about 1, and it can be gamed. The row of the real frames, which goes
through the same steps, says what a value is worth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import ClassVar

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from ns_talking.audio.io import stream_audio
from ns_talking.metrics.base import MEASURED_PX, Figure, MeasuredFrame, Measurement, MetricContext
from ns_talking.metrics.mfcc import mfcc
from ns_talking.metrics.syncnet import FACE_PX, NUM_FRAMES, NUM_STEPS, load_syncnet
from ns_talking.metrics.weights import SYNCNET

MOST_LAG = 15
_STEPS_PER_FRAME = 4
_CROP_SCALE = 0.4
_PADDING_GREY = 110
_SMOOTHING = 13
_FEWEST = 25

Embed = Callable[[np.ndarray], np.ndarray]


def crop_face(
    image: UInt8[np.ndarray, "height width 3"], centre: tuple[float, float], half: float
) -> UInt8[np.ndarray, "224 224 3"]:
    """Cut a face out as SyncNet's release does: a square 1.4 times the box, most of the margin below the chin.

    Args:
        image: RGB.
        centre: Middle of the face's box in px.
        half: Half of its longer side in px.

    Returns:
        BGR.
    """
    margin = int(half * (1 + 2 * _CROP_SCALE))
    padded = cv2.copyMakeBorder(image, *[margin] * 4, cv2.BORDER_CONSTANT, value=[_PADDING_GREY] * 3)
    x, y = centre[0] + margin, centre[1] + margin
    top, bottom = int(y - half), int(y + half * (1 + 2 * _CROP_SCALE))
    left, right = int(x - half * (1 + _CROP_SCALE)), int(x + half * (1 + _CROP_SCALE))
    face = padded[max(0, top) : bottom, max(0, left) : right]
    if face.size == 0:
        face = np.full((1, 1, 3), _PADDING_GREY, dtype=np.uint8)
    return cv2.cvtColor(cv2.resize(face, (FACE_PX, FACE_PX)), cv2.COLOR_RGB2BGR)


class LagDistances:
    """Mean distance of face and sound embeddings at every lag, taken in as they come."""

    def __init__(self) -> None:
        self._faces: deque[tuple[int, np.ndarray]] = deque()
        self._sounds: dict[int, np.ndarray] = {}
        self._sum = np.zeros(2 * MOST_LAG + 1)
        self._count = 0
        self._last = -1

    def add(self, index: int, face: Float[np.ndarray, " channels"], sound: Float[np.ndarray, " channels"]) -> None:
        """Take in the embeddings of one instant; instants come in order."""
        self._faces.append((index, face))
        self._sounds[index] = sound
        self._last = index
        while self._faces and self._faces[0][0] + MOST_LAG <= index:
            self._settle()

    def means(self) -> tuple[Float[np.ndarray, " lags"], int]:
        """Settle what is left and give the means over instants, and their number. The lag at position 0 is -15."""
        while self._faces:
            self._settle()
        return self._sum / max(self._count, 1), self._count

    def _settle(self) -> None:
        index, face = self._faces.popleft()
        # Where there is no instant, before the first and after the last, the release compares with zeros.
        sounds = np.stack(
            [self._sounds.get(index + lag, np.zeros_like(face)) for lag in range(-MOST_LAG, MOST_LAG + 1)]
        )
        self._sum += np.linalg.norm(face - sounds, axis=1)
        self._count += 1
        self._sounds.pop(index - MOST_LAG, None)


class Sync:
    """SyncNet's confidence and distance."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("lse_c", "LSE-C", "", "higher", "Median over lags minus the smallest mean distance (Prajwal 2020)."),
        Figure("lse_d", "LSE-D", "", "lower", "Smallest mean distance of SyncNet's embeddings over lags."),
        Figure("sync_offset", "SyncNet offset", "frames", "nearer 0", "Delay of the lips with the smallest distance."),
    )
    needs_real: ClassVar[bool] = False

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        if context.sound is None:
            raise FileNotFoundError("SyncNet needs the sound of the frames, which is not known.")
        network = load_syncnet(context.weights(SYNCNET.name), context.device)
        blocks = stream_audio(context.sound, start_s=context.sound_start_s)
        self._coefficients = mfcc(blocks)
        self._embed_face: Embed = _on(context.device, network.embed_face)
        self._embed_sound: Embed = _on(context.device, network.embed_sound)
        self._boxes: deque[tuple[float, float, float]] = deque(maxlen=_SMOOTHING)
        self._waiting: deque[MeasuredFrame] = deque()
        self._faces: deque[tuple[int, np.ndarray]] = deque(maxlen=NUM_FRAMES)
        self._distances = LagDistances()

    def add(self, frame: MeasuredFrame) -> None:
        """Take in a frame; it is looked at six frames later, when its box can be smoothed."""
        if frame.rendered.points is not None:
            self._boxes.append(_box(frame.rendered.points, frame.rendered.image.shape[1]))
        self._waiting.append(frame)
        if len(self._waiting) > _SMOOTHING // 2:
            self._look(self._waiting.popleft())

    def result(self) -> Measurement:
        """State confidence, distance and offset."""
        while self._waiting:
            self._look(self._waiting.popleft())
        means, count = self._distances.means()
        if count < _FEWEST:
            reason = f"SyncNet looked at {count} windows of five frames in a row; {_FEWEST} are the least."
            return Measurement(missing={figure.key: reason for figure in self.figures})
        best = int(np.argmin(means))
        values = {
            "lse_c": float(np.median(means) - means[best]),
            "lse_d": float(means[best]),
            "sync_offset": float(MOST_LAG - best),
        }
        return Measurement(values, notes=dict.fromkeys(values, f"{count} windows; crop by landmarks"))

    def _look(self, frame: MeasuredFrame) -> None:
        if not self._boxes:
            return
        x, y, half = np.median(np.array(self._boxes), axis=0).tolist()
        self._faces.append((frame.index, crop_face(frame.rendered.image, (x, y), half)))
        indices = [index for index, _ in self._faces]
        start = indices[0] * _STEPS_PER_FRAME
        window = self._coefficients[start : start + NUM_STEPS]
        if len(indices) < NUM_FRAMES or indices[-1] - indices[0] != NUM_FRAMES - 1 or len(window) < NUM_STEPS:
            return
        faces = np.stack([face for _, face in self._faces])[None]
        self._distances.add(indices[0], self._embed_face(faces)[0], self._embed_sound(window.T[None])[0])


def _box(points: np.ndarray, width: int) -> tuple[float, float, float]:
    """Middle and half of the longer side of the landmarks' box, in px of the frame."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    x, y = (low + high) / 2 * (width / MEASURED_PX)
    return float(x), float(y), float((high - low).max() / 2 * (width / MEASURED_PX))


def _on(device: torch.device, function: Callable[[torch.Tensor], torch.Tensor]) -> Embed:
    @torch.no_grad()
    def embed(values: np.ndarray) -> np.ndarray:
        return function(torch.from_numpy(np.ascontiguousarray(values)).to(device).float()).cpu().numpy()

    return embed
