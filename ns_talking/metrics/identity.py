"""Whether the rendered face is the same person: by a face recogniser, and by pixels where there is none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from ns_talking.data.landmarks import LandmarkScheme
from ns_talking.metrics.base import MEASURED_PX, Figure, MeasuredFrame, Measurement, MetricContext, Picture
from ns_talking.metrics.weights import SFACE
from ns_talking.utils.native_output import hidden_native_stderr

_ALIGNED_PX = 112
_TEMPLATE = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])
"""Where eyes, nose and corners of the mouth lie in an aligned face of 112 px, by the convention of face recognisers."""
_LIKENESS_PX = 32

Embedding = Callable[[Picture], "Float[np.ndarray, ' channels'] | None"]


def five_points(points: Float[np.ndarray, "points 3"], layout: LandmarkScheme, width: int) -> Float[np.ndarray, "5 2"]:
    """Give the subject's right eye, left eye, tip of the nose, right and left corner of the mouth, in px.

    Args:
        points: Landmarks in px of a frame `MEASURED_PX` wide.
        layout: Their scheme.
        width: Width of the frame wanted.
    """
    eyes = [points[eye, :2].mean(axis=0) for eye in (layout.right_eye, layout.left_eye)]
    others = points[layout.ibug68[[30, 48, 54]], :2]
    return np.concatenate([np.stack(eyes), others]).astype(np.float64) * (width / MEASURED_PX)


def aligned_face(picture: Picture, layout: LandmarkScheme) -> UInt8[np.ndarray, "112 112 3"] | None:
    """Turn, scale and cut a face to 112 px so that its five points lie in their places; None without a face."""
    if picture.points is None:
        return None
    points = five_points(picture.points, layout, picture.image.shape[1])
    transform, _ = cv2.estimateAffinePartial2D(points - 0.5, _TEMPLATE, method=cv2.LMEDS)
    return cv2.warpAffine(picture.image, transform, (_ALIGNED_PX, _ALIGNED_PX), flags=cv2.INTER_LINEAR)


class _Similarity(ABC):
    """Cosine of the embeddings of rendered and real faces, frame by frame."""

    figures: ClassVar[tuple[Figure, ...]]
    needs_real: ClassVar[bool] = True

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._found: list[float] = []
        self._embed: Embedding = self._embedding()

    @abstractmethod
    def _embedding(self) -> Embedding:
        """Make what embeds a face."""

    def add(self, frame: MeasuredFrame) -> None:
        """Compare the faces of one frame."""
        self._found.append(float("nan"))
        if frame.both_faces:
            assert frame.real is not None
            ours, theirs = self._embed(frame.rendered), self._embed(frame.real)
            if ours is not None and theirs is not None:
                size = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
                self._found[-1] = float(ours @ theirs) / size if size > 1e-12 else 0.0

    def result(self) -> Measurement:
        """State the mean over frames."""
        key, curve = self.figures[0].key, np.array(self._found)
        if not np.isfinite(curve).any():
            return Measurement(missing={key: f"{self._context.landmarks} found no face in a frame of both videos."})
        return Measurement({key: float(np.nanmean(curve))}, curves={key: curve})


class Csim(_Similarity):
    """CSIM: cosine similarity of SFace's embeddings.

    Source:
        Zhong et al., "SFace: sigmoid-constrained hypersphere loss for robust face recognition", 2021; OpenCV's
        weights. Papers mostly use ArcFace, whose weights are not free: values differ from theirs.
    """

    figures = (Figure("csim", "CSIM", "", "higher", "Cosine similarity of face embeddings (SFace, Apache-2.0)."),)

    def _embedding(self) -> Embedding:
        with hidden_native_stderr():
            network = cv2.FaceRecognizerSF.create(str(self._context.weights(SFACE.name)), "")

        def embed(picture: Picture) -> Float[np.ndarray, " channels"] | None:
            face = aligned_face(picture, self._context.layout)
            return None if face is None else network.feature(cv2.cvtColor(face, cv2.COLOR_RGB2BGR))[0].astype(float)

        return embed


class Likeness(_Similarity):
    """Likeness of aligned grey faces: needs no weights and sees another person, but also other light."""

    figures = (
        Figure("likeness", "likeness", "", "higher", "Correlation of aligned grey faces; our stand-in for CSIM."),
    )

    def _embedding(self) -> Embedding:
        def embed(picture: Picture) -> Float[np.ndarray, " channels"] | None:
            face = aligned_face(picture, self._context.layout)
            if face is None:
                return None
            grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
            small = cv2.resize(grey, (_LIKENESS_PX, _LIKENESS_PX), interpolation=cv2.INTER_AREA).astype(np.float64)
            return (small - small.mean()).reshape(-1)

        return embed
