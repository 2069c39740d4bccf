"""The frames of one split, at the working size, as Nerfstudio's tools want them and as bytes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from torch import Tensor

from ns_talking.data.cameras import resize_cameras
from ns_talking.data.format import Portrait, PortraitFrame
from ns_talking.data.frame_store import GIB, FrameStore, PortraitImage

DEFAULT_CACHE_GIB = 4.0


class PortraitDataset(InputDataset):
    """One part of a portrait: training or held-out frames.

    Args:
        dataparser_outputs: What a portrait dataparser made.
        scale_factor: Scales the images; 1 keeps the size of the cameras.
        working_size: Longer side of the images in px; None keeps the size of the cameras. Never enlarges.
        store: Frames that another dataset of the same portrait and size decodes as well; None makes a new store.
        max_bytes: Room of a new store for decoded frames.
        face_classes: Whether frames tell the `FaceClass` of every pixel.
    """

    exclude_batch_keys_from_device = ["image"]

    def __init__(
        self,
        dataparser_outputs: DataparserOutputs,
        scale_factor: float = 1.0,
        working_size: int | None = None,
        store: FrameStore | None = None,
        max_bytes: int = int(DEFAULT_CACHE_GIB * GIB),
        face_classes: bool = False,
    ) -> None:
        # The parent's constructor would copy the landmarks of the whole clip twice, and scale by rounding down.
        torch.utils.data.Dataset.__init__(self)
        self._dataparser_outputs = dataparser_outputs
        self.scale_factor = scale_factor
        self.mask_color = None
        self.scene_box = deepcopy(dataparser_outputs.scene_box)
        self.metadata = dict(dataparser_outputs.metadata)
        self.portrait: Portrait = self.metadata["portrait"]
        self.frames: list[PortraitFrame] = self.metadata["frames"]
        self.cameras = deepcopy(dataparser_outputs.cameras)
        width, height = int(self.cameras.width[0]), int(self.cameras.height[0])
        self.width, self.height = working_dimensions(width, height, scale_factor, working_size)
        resize_cameras(self.cameras, self.width, self.height)
        wanted = self.width, self.height, face_classes
        if store is None or (store.width, store.height, store.face_classes) != wanted:
            store = FrameStore(self.portrait, self.width, self.height, max_bytes, face_classes)
        self.store = store

    @property
    def background(self) -> UInt8[np.ndarray, "height width 3"]:
        """The scene without the person."""
        return self.store.background

    def frame(self, row: int) -> PortraitImage:
        """Give one frame of this split as bytes.

        Args:
            row: Its position in this split, which is also its camera's.
        """
        return self.store.frame(self.frames[row])

    def prefetch(self, rows: list[int]) -> None:
        """Start to decode frames that will be asked for soon."""
        self.store.prefetch(self.frames[row] for row in rows)

    def get_numpy_image(self, image_idx: int) -> UInt8[np.ndarray, "height width 3"]:
        """Give the image of one frame over the background plate."""
        return np.ascontiguousarray(self.frame(image_idx).image)

    def get_metadata(self, data: dict[str, Any]) -> dict[str, Any]:  # Any: Nerfstudio's batches.
        """Add the layers of the image, [height, width, channels] in [0, 1], its parsing and its place in the clip."""
        frame = self.frame(data["image_idx"])
        classes = {"face_class": torch.from_numpy(frame.classes.copy())} if self.store.face_classes else {}
        return {
            **classes,
            "behind": as_float(frame.behind),
            "background": as_float(frame.background),
            "torso": as_float(frame.torso),
            "parsing": torch.from_numpy(frame.parsing.copy()),
            "frame_index": self.frames[data["image_idx"]].index,
        }


def as_float(image: UInt8[np.ndarray, "height width channels"]) -> Float[Tensor, "height width channels"]:
    """Convert bytes to numbers in [0, 1]."""
    return torch.from_numpy(image.astype(np.float32) / 255)


def working_dimensions(width: int, height: int, scale_factor: float, working_size: int | None) -> tuple[int, int]:
    """Fit an image into the working size.

    Args:
        width: Width at hand in px.
        height: Height at hand in px.
        scale_factor: Nerfstudio's own scale of images.
        working_size: Longest side wanted in px; larger than the image, or None, changes nothing.

    Raises:
        ValueError: When hardly a pixel would be left.
    """
    if working_size is not None:
        scale_factor *= min(1.0, working_size / max(width, height))
    size = round(width * scale_factor), round(height * scale_factor)
    if min(size) < 8:
        raise ValueError(f"A working size of {size[0]}x{size[1]} px shows no face. Choose 64 px or more.")
    return size
