"""Torso layer: neck and torso of each frame as RGBA, continued under the chin.

The layer over the background plate is what stands behind the head. Outside the head it reproduces the frame. Just
inside, it goes on with the colours of the neck next to the border instead of the chin's, so that the head's field has
no shadow to explain there and no gap opens when another jaw is rendered over it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from ns_talking.data.format import Region, image_name
from ns_talking.data.landmarks import outer_eye_distance
from ns_talking.process.background import fill_smoothly
from ns_talking.process.frame_pool import in_threads, spread, usable_frames, write_png
from ns_talking.process.step import ProcessSettings, Progress, Workspace, atomic_folder
from ns_talking.utils.mapped import measured

_STRIP_REACH = 0.45
"""How far the torso goes on under the head, in outer-eye distances: more than a jaw drops when it opens."""
_FADE = 0.3
"""Share of the strip over which it fades out at its far end."""
_BORDER_PX = 4
"""Colours this close to the head, at 512 px, are mixed with it and do not enter the strip."""
_EDGE_PX = 4.0
"""Depth of the soft edge against the background, at 512 px."""

_NUM_MEASURED = 50
"""Frames on which the layer over the plate is compared with the frame."""


class TorsoStep:
    """Writes `torso/`."""

    name = "torso"
    needs = ("frames", "landmarks", "parsing", "background")
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """Files and folders that exist when the step is done."""
        return [workspace.torso]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Only the settings that affect its outputs."""
        return {}

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Do the step."""
        frames = usable_frames(workspace)
        distances = measured(frames.landmarks, lambda part: outer_eye_distance(part, frames.layout))
        reach_px = _STRIP_REACH * float(np.median(distances[frames.indices]))
        compared = set(spread(frames.indices, _NUM_MEASURED))
        plate = cv2.cvtColor(cv2.imread(str(workspace.background), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        with atomic_folder(workspace.torso) as folder:

            def write(index: int) -> float | None:
                image = workspace.read_image(index)
                regions = _read(workspace.parsing / image_name(index, ".png"))
                layer = torso_layer(image, regions, plate, reach_px)
                write_png(folder / image_name(index, ".png"), cv2.cvtColor(layer, cv2.COLOR_RGBA2BGRA))
                return _mismatch(image, regions, layer, plate) if index in compared else None

            errors: list[float] = []
            with progress("Cutting out the torso", total=len(frames.indices), unit="frames") as advance:
                for error in in_threads(write, frames.indices):
                    errors += [] if error is None else [error]
                    advance()
        return {
            "strip_px": round(reach_px, 1),
            "behind_mismatch": round(float(np.mean(errors)), 3),
        }


def torso_layer(
    image: UInt8[np.ndarray, "height width 3"],
    regions: UInt8[np.ndarray, "height width"],
    plate: UInt8[np.ndarray, "height width 3"],
    reach_px: float,
) -> UInt8[np.ndarray, "height width 4"]:
    """Cut out the torso and continue it under the head.

    Args:
        image: The frame, RGB.
        regions: Its parsing.
        plate: Background plate, RGB.
        reach_px: How far the torso goes on under the head.

    Returns:
        RGBA with straight colours, 0 where transparent.
    """
    height, width = regions.shape
    layer = np.zeros((height, width, 4), dtype=np.uint8)
    torso_rows = np.flatnonzero((regions == Region.TORSO).any(axis=1))
    if len(torso_rows):
        # The head's upper part is of no concern; leaving it out halves the time.
        rows = slice(max(0, int(torso_rows[0] - reach_px) - 8), height)
        layer[rows] = _window_layer(image[rows], regions[rows], plate[rows], reach_px, max(height, width) / 512)
    return layer


def behind(
    layer: UInt8[np.ndarray, "height width 4"], plate: UInt8[np.ndarray, "height width 3"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay a torso layer over the plate: what stands behind the head."""
    alpha = layer[..., 3:].astype(np.float32) / 255
    return np.rint(alpha * layer[..., :3] + (1 - alpha) * plate).astype(np.uint8)


def _window_layer(
    image: np.ndarray, regions: np.ndarray, plate: np.ndarray, reach_px: float, scale: float
) -> np.ndarray:
    torso = regions == Region.TORSO
    colour, alpha = _soft_edge(image, regions, plate, torso, scale)
    rows, columns = _strip_window(torso, regions, reach_px)
    strip_colour, strip = _strip(image[rows, columns], regions[rows, columns], reach_px, scale)
    hidden = strip > 0
    colour[rows, columns][hidden] = strip_colour[hidden]
    alpha[rows, columns] += strip
    opacity = np.rint(alpha * 255).astype(np.uint8)
    return cv2.merge([*cv2.split(cv2.bitwise_and(colour, colour, mask=opacity)), opacity])


def _soft_edge(
    image: np.ndarray, regions: np.ndarray, plate: np.ndarray, torso: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Make the torso's edge against the background as transparent as the frame allows.

    A pixel of the frame is a mixture of torso and plate in unknown parts. Within the depth of an edge the part of the
    torso grows inwards from 0, but it is at least what a colour of the torso in [0, 255] needs to give the pixel. So
    the layer over the plate is the frame exactly, and what the plate explains by itself, such as a fringe of a mask
    that is too wide, vanishes over another background.

    Returns:
        Colours of the torso, and how opaque they are.
    """
    depth = cv2.distanceTransform((regions != Region.BACKGROUND).astype(np.uint8), cv2.DIST_L2, 3)
    alpha = np.where(torso, np.clip((depth - 0.5) / (_EDGE_PX * scale), 0, 1), 0).astype(np.float32)
    colour = image.copy()
    edge = torso & (alpha < 1)
    seen, ground = image[edge].astype(np.float32), plate[edge].astype(np.float32)
    room = np.where(seen > ground, 255 - ground, ground)
    needed = (np.abs(seen - ground) / np.maximum(room, 1)).max(axis=1)
    share = np.clip(np.maximum(alpha[edge], needed), 0, 1)
    alpha[edge] = share
    unmixed = ground + (seen - ground) / np.maximum(share, 1e-3)[:, None]
    colour[edge] = np.clip(np.rint(unmixed), 0, 255).astype(np.uint8)
    return colour, alpha


def _strip_window(torso: np.ndarray, regions: np.ndarray, reach_px: float) -> tuple[slice, slice]:
    """Bound the strip: where the torso meets the head, with its reach around."""
    head = ((regions != Region.BACKGROUND) & ~torso).astype(np.uint8)
    touching = torso & (cv2.dilate(head, np.ones((3, 3), np.uint8)) > 0)
    rows, columns = np.flatnonzero(touching.any(axis=1)), np.flatnonzero(touching.any(axis=0))
    if len(rows) == 0:
        return slice(0, 0), slice(0, 0)
    margin = int(np.ceil(reach_px)) + 8
    return (
        slice(max(0, rows[0] - margin), rows[-1] + 1 + margin // 2),
        slice(max(0, columns[0] - margin), columns[-1] + 1 + margin),
    )


def _strip(image: np.ndarray, regions: np.ndarray, reach_px: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Continue the torso under the head.

    Only what lies much nearer to the torso than to the background is continued: the strip narrows upwards and does not
    show beside the head.

    Returns:
        Colours, and how opaque they are; 0 outside the strip.
    """
    if image.size == 0:
        return image, np.zeros(regions.shape, np.float32)
    torso, free = regions == Region.TORSO, regions == Region.BACKGROUND
    head = ~torso & ~free
    to_torso = cv2.distanceTransform((~torso).astype(np.uint8), cv2.DIST_L2, 5)
    to_free = (
        cv2.distanceTransform((~free).astype(np.uint8), cv2.DIST_L2, 5) if free.any() else np.full_like(to_torso, 1e6)
    )
    to_head = cv2.distanceTransform((~head).astype(np.uint8), cv2.DIST_L2, 5)
    fade = np.clip((reach_px - to_torso) / (_FADE * reach_px), 0, 1)
    beside = np.clip((to_free - 2 * to_torso) / (4 * scale), 0, 1)
    opacity = np.where(head, fade * beside, 0).astype(np.float32)

    half = (max(1, regions.shape[1] // 2), max(1, regions.shape[0] // 2))
    clean = (torso & (to_head > _BORDER_PX * scale)).astype(np.float32)
    if clean.sum() < 8:
        clean = torso.astype(np.float32)
    share = cv2.resize(clean, half, interpolation=cv2.INTER_AREA)
    mixed = cv2.resize(image * clean[..., None], half, interpolation=cv2.INTER_AREA)
    known = share > 0.25
    small = np.rint(mixed / np.maximum(share, 1e-6)[..., None] * known[..., None]).clip(0, 255).astype(np.uint8)
    colour = cv2.resize(fill_smoothly(small, known), regions.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return colour, opacity


def _mismatch(image: np.ndarray, regions: np.ndarray, layer: np.ndarray, plate: np.ndarray) -> float:
    """Mean difference in grey levels between what stands behind the head and the frame, over the torso."""
    torso = regions == Region.TORSO
    if not torso.any():
        return 0.0
    return float(np.abs(behind(layer, plate)[torso].astype(np.int16) - image[torso]).mean())


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise FileNotFoundError(f"{path} is missing or damaged. Run `ns-talking process` again with --overwrite.")
    return image
