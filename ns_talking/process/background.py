"""Background plate: what the scene looks like without the person.

Where the background was ever seen, the plate is the median over frames in which it was free, far enough from the
person's edge that neither motion blur nor a halo leaks in. The rest was never seen, and the person covers it in every
rendered frame as well, so it only has to be smooth and free of ghosts: it is filled from coarse to fine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from ns_talking.data.format import Region, image_name
from ns_talking.process.frame_pool import in_threads, spread, usable_frames
from ns_talking.process.step import ProcessSettings, Progress, Workspace
from ns_talking.utils.files import atomic_path
from ns_talking.utils.images import write_image

_NUM_FRAMES = 60
_MARGIN = 17 / 512
"""Distance kept from the person, as a share of the frame's longer side: hair and motion blur reach past the mask."""
_MIN_SEEN = 3
"""Frames in which a pixel must be free; the median of fewer would let a ghost through."""
_ROWS = 128
"""Rows per block of the median, which bounds the memory at any frame size."""


class BackgroundStep:
    """Writes `background.png`."""

    name = "background"
    needs = ("frames", "landmarks", "parsing")
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """Files and folders that exist when the step is done."""
        return [workspace.background, workspace.work("background_seen.png")]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Only the settings that affect its outputs."""
        return {}

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Do the step."""
        sample = spread(usable_frames(workspace).indices, _NUM_FRAMES)
        images, free = [], []

        def read(index: int) -> tuple[np.ndarray, np.ndarray]:
            return workspace.read_image(index), free_of_person(workspace, index)

        with progress("Collecting the background", total=len(sample), unit="frames") as advance:
            for image, mask in in_threads(read, sample):
                images.append(image)
                free.append(mask)
                advance()
        stack, masks = np.stack(images), np.stack(free)
        plate, seen = masked_median(stack, masks)
        if not seen.any():
            edge = np.median(stack[:, 0], axis=(0, 1))
            plate[:], seen[0] = edge.astype(np.uint8), True
        plate = fill_smoothly(plate, seen)
        residual = np.abs(stack.astype(np.int16) - plate).mean(axis=-1)
        with atomic_path(workspace.background) as path:
            write_image(path, cv2.cvtColor(plate, cv2.COLOR_RGB2BGR))
        with atomic_path(workspace.work("background_seen.png")) as path:
            write_image(path, seen.astype(np.uint8) * 255)
        return {
            "frames": len(sample),
            "never_seen_share": round(float(1 - seen.mean()), 4),
            "residual": round(float(residual[masks].mean()), 3) if masks.any() else None,
            "drift": round(_drift(stack, masks, plate), 3),
        }


def free_of_person(workspace: Workspace, index: int) -> Bool[np.ndarray, "height width"]:
    """Mark the pixels of a frame that are background, well away from the person."""
    regions = cv2.imread(str(workspace.parsing / image_name(index, ".png")), cv2.IMREAD_UNCHANGED)
    if regions is None:
        raise FileNotFoundError(
            f"The parsing of frame {index} is missing or damaged. Run `ns-talking process` again with --overwrite."
        )
    margin = max(1, round(_MARGIN * max(regions.shape)))
    distance = cv2.distanceTransform((regions == Region.BACKGROUND).astype(np.uint8), cv2.DIST_L2, 3)
    return distance > margin


def masked_median(
    images: UInt8[np.ndarray, "frames height width 3"], masks: Bool[np.ndarray, "frames height width"]
) -> tuple[UInt8[np.ndarray, "height width 3"], Bool[np.ndarray, "height width"]]:
    """Take the median of each pixel over the frames in which it is free.

    Returns:
        The medians (0 where a pixel was hardly ever free), and where they are known.
    """
    plate = np.zeros(images.shape[1:], dtype=np.uint8)
    counts = masks.sum(axis=0)
    for top in range(0, len(plate), _ROWS):
        rows = slice(top, top + _ROWS)
        # 256 sorts behind every value, so the free ones come first.
        values = np.where(masks[:, rows, :, None], images[:, rows].astype(np.int16), 256)
        values.sort(axis=0)
        middle = np.maximum(counts[rows] - 1, 0) // 2
        plate[rows] = np.minimum(np.take_along_axis(values, middle[None, ..., None], axis=0)[0], 255)
    seen = counts >= min(_MIN_SEEN, len(images))
    plate[~seen] = 0
    return plate, seen


def fill_smoothly(
    image: UInt8[np.ndarray, "height width channels"], known: Bool[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width channels"]:
    """Fill the unknown pixels with the smoothest continuation of the known ones.

    Solves Laplace's equation from coarse to fine: each level starts from the one below and is relaxed a few times.
    """
    levels: list[tuple[np.ndarray, np.ndarray]] = [(image.astype(np.float32), known.astype(np.float32))]
    while min(levels[-1][1].shape) > 2 and not levels[-1][1].all():
        colour, weight = levels[-1]
        size = ((weight.shape[1] + 1) // 2, (weight.shape[0] + 1) // 2)
        share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
        total = _channels(cv2.resize(colour * weight[..., None], size, interpolation=cv2.INTER_AREA))
        levels.append((total / np.maximum(share, 1e-6)[..., None], (share > 0).astype(np.float32)))
    result, weight = levels[-1]
    mean = (result * weight[..., None]).sum(axis=(0, 1)) / max(float(weight.sum()), 1.0)
    result = np.where(weight[..., None] > 0, result, mean).astype(np.float32)
    for colour, weight in reversed(levels[:-1]):
        result = _channels(cv2.resize(result, weight.shape[::-1], interpolation=cv2.INTER_LINEAR))
        fixed = weight[..., None] > 0
        for _ in range(8):
            result = np.where(fixed, colour, _channels(cv2.blur(result, (3, 3), borderType=cv2.BORDER_REPLICATE)))
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def _channels(image: np.ndarray) -> np.ndarray:
    """Give an image its channel axis back, which OpenCV drops when there is one channel."""
    return image if image.ndim == 3 else image[..., None]


def _drift(
    images: UInt8[np.ndarray, "frames height width 3"],
    masks: Bool[np.ndarray, "frames height width"],
    plate: UInt8[np.ndarray, "height width 3"],
) -> float:
    """Measure how far the free background of single frames is off the plate, in grey levels.

    It is the 95th percentile over pixels of the median over frames: a still camera before a still scene gives the
    noise of the sensor.
    """
    off = np.abs(images.astype(np.int16) - plate).mean(axis=-1).astype(np.float32)
    off[~masks] = np.nan
    free = masks.sum(axis=0) >= _MIN_SEEN
    if not free.any():
        return 0.0
    typical = np.nanmedian(off[:, free], axis=0)
    return float(np.percentile(typical, 95))
