"""Image files of a portrait, decoded to one packed array per frame at the working size."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from ns_talking.data.face_classes import FaceClass, classes_from_landmarks
from ns_talking.data.format import Portrait, PortraitFrame, Region
from ns_talking.data.landmarks import scheme

_HALF = 128
# Index: which of blue, green and red are bright, as bits. Head is blue, neck green, torso red, background white; the
# black of TalkingGaussian's hair counts as head.
_AD_NERF_REGIONS = np.array(
    [
        Region.HEAD,
        Region.HEAD,
        Region.TORSO,
        Region.HEAD,
        Region.TORSO,
        Region.TORSO,
        Region.TORSO,
        Region.BACKGROUND,
    ],
    dtype=np.uint8,
)
_TEETH_GREY = (100, 100, 100)
CLASS_SHIFT = 4
"""The upper half of the byte of a pixel's `Region` holds its `FaceClass`."""


class FrameDecoder:
    """Decodes the frames of one portrait at one size.

    Args:
        portrait: The dataset.
        width: Width wanted, in px.
        height: Height wanted, in px.
        face_classes: Whether to tell the `FaceClass` of every pixel as well.
    """

    def __init__(self, portrait: Portrait, width: int, height: int, face_classes: bool = False) -> None:
        self.portrait = portrait
        self.face_classes = face_classes
        self.width = width
        self.height = height

    def decode(self, frame: PortraitFrame) -> UInt8[np.ndarray, "height width 8"]:
        """Decode image, torso and parsing of one frame.

        The background of the image is replaced at the stored size, before it is resized, so that outlines stay smooth.

        Returns:
            Per pixel: RGB of the image over the background plate, straight RGBA of the torso, `Region`, in whose byte
            the `FaceClass` is shifted by `CLASS_SHIFT` bits where it was asked for, else 0.

        Raises:
            ValueError: When a file is no image or has another size than the dataset says.
        """
        parsing = self._parsing(frame)
        filmed = self._read(frame.image, cv2.IMREAD_COLOR)
        image = filmed.copy()
        cv2.copyTo(self._stored_background, cv2.compare(parsing, int(Region.BACKGROUND), cv2.CMP_EQ), image)
        packed = np.empty((self.height, self.width, 8), dtype=np.uint8)
        packed[..., :3] = self._resize(image)[..., ::-1]
        packed[..., 3:7] = self._resize_colour_and_opacity(self._torso(frame, filmed, parsing))[..., [2, 1, 0, 3]]
        packed[..., 7] = self._resize_labels(parsing, len(Region))
        if self.face_classes:
            packed[..., 7] |= self._resize_labels(self._classes(frame, parsing, filmed), len(FaceClass)) << CLASS_SHIFT
        return packed

    @cached_property
    def background(self) -> UInt8[np.ndarray, "height width 3"]:
        """The background plate as RGB."""
        return np.ascontiguousarray(self._resize(self._stored_background)[..., ::-1])

    @cached_property
    def _stored_background(self) -> np.ndarray:
        return self._read(self.portrait.background, cv2.IMREAD_COLOR)

    def _read(self, path: Path, flags: int) -> np.ndarray:
        image = cv2.imread(str(path), flags)
        if image is None:
            raise ValueError(f"{path} is missing or no image. Restore it, or process the video again.")
        height, width = image.shape[:2]
        if (width, height) != (self.portrait.width, self.portrait.height):
            raise ValueError(
                f"{path} has {width}x{height} px, the dataset says {self.portrait.width}x{self.portrait.height}. "
                "Process the video again."
            )
        return image

    def _parsing(self, frame: PortraitFrame) -> np.ndarray:
        if self.portrait.image_layout == "ns-talking":
            return self._read(frame.parsing, cv2.IMREAD_GRAYSCALE)
        return self._ad_nerf_parsing(frame)

    def _ad_nerf_parsing(self, frame: PortraitFrame) -> np.ndarray:
        """Translate colours to regions, and draw what they do not tell: lips, eyes and inner mouth."""
        colours = self._read(frame.parsing, cv2.IMREAD_COLOR)
        bright = (colours >= _HALF).astype(np.uint8)
        parsing = _AD_NERF_REGIONS[bright[..., 0] | bright[..., 1] << 1 | bright[..., 2] << 2]
        drawn = np.zeros_like(parsing)
        layout = scheme(self.portrait.landmark_scheme)
        points = self.portrait.landmarks[frame.index, :, :2]
        for indices, region in (
            (layout.right_eye, Region.EYES),
            (layout.left_eye, Region.EYES),
            (layout.outer_lips, Region.LIPS),
            (layout.inner_lips, Region.INNER_MOUTH),
        ):
            cv2.fillPoly(drawn, [np.rint(points[indices] - 0.5).astype(np.int32)], int(region))
        drawn[(colours == _TEETH_GREY).all(axis=-1)] = Region.INNER_MOUTH
        return np.where((drawn > 0) & (parsing == Region.HEAD), drawn, parsing)

    def _classes(self, frame: PortraitFrame, parsing: np.ndarray, filmed: np.ndarray) -> np.ndarray:
        """Read the classes that the dataset brings, or draw them."""
        if frame.classes is None:
            layout = scheme(self.portrait.landmark_scheme)
            return classes_from_landmarks(parsing, self.portrait.landmarks[frame.index], layout, filmed)
        classes = self._read(frame.classes, cv2.IMREAD_GRAYSCALE)
        if classes.max() >= len(FaceClass):
            raise ValueError(
                f"{frame.classes} holds the class {classes.max()}, there are {len(FaceClass)}. Delete the folder "
                f"{frame.classes.parent}: then classes are drawn from landmarks."
            )
        return classes

    def _torso(self, frame: PortraitFrame, filmed: np.ndarray, parsing: np.ndarray) -> np.ndarray:
        """Blue, green, red, opacity."""
        if frame.torso is None:
            return cv2.merge([*cv2.split(filmed), cv2.compare(parsing, int(Region.TORSO), cv2.CMP_EQ)])
        torso = self._read(frame.torso, cv2.IMREAD_UNCHANGED)
        if torso.ndim != 3 or torso.shape[2] != 4:
            raise ValueError(f"{frame.torso} has no opacity (alpha) channel. Process the video again.")
        return torso

    def _resize(self, image: np.ndarray) -> np.ndarray:
        if image.shape[:2] == (self.height, self.width):
            return image
        shrinks = self.width <= image.shape[1] and self.height <= image.shape[0]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(image, (self.width, self.height), interpolation=interpolation)

    def _resize_colour_and_opacity(self, image: np.ndarray) -> np.ndarray:
        """Resize premultiplied colours, so that the black outside the torso never bleeds in."""
        if image.shape[:2] == (self.height, self.width):
            return image
        # Above the shoulders nothing is opaque; skipping those rows halves the work.
        top = cv2.boundingRect(image[..., 3])[1]
        rows = image[top:]
        opacity = rows[..., 3]
        premultiplied = np.zeros_like(image)
        premultiplied[top:] = cv2.merge(
            [*(cv2.multiply(colour, opacity, scale=1 / 255) for colour in cv2.split(rows)[:3]), opacity]
        )
        resized = self._resize(premultiplied)
        divisor = np.maximum(resized[..., 3:].astype(np.float32), 1)
        resized[..., :3] = np.minimum(np.rint(resized[..., :3] * (255 / divisor)), 255)
        return resized

    def _resize_labels(self, labels: np.ndarray, count: int) -> np.ndarray:
        """Give every pixel the label that covers most of it."""
        if labels.shape == (self.height, self.width):
            return labels
        covers = [self._resize(cv2.compare(labels, label, cv2.CMP_EQ)) for label in range(count)]
        return np.argmax(np.stack(covers), axis=0).astype(np.uint8)
