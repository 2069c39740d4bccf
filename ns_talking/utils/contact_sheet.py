"""A grid of frames of a video with their times, to judge it at a glance."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from ns_talking.utils.files import atomic_path
from ns_talking.utils.images import write_image
from ns_talking.utils.video import read_frames


def contact_sheet(
    video: Path, num_frames: int, num_shown: int = 24, columns: int = 6, tile_px: int = 256, fps: float = 25.0
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay out frames of a video, evenly spread in time, row by row.

    Args:
        video: Any video.
        num_frames: Number of its frames at `fps`.
        num_shown: Number of frames shown at most.
        columns: Frames per row.
        tile_px: Width of each frame in the grid.
        fps: Frames per second.
    """
    num_shown = min(num_shown, num_frames)
    shown = set(np.round(np.linspace(0, num_frames - 1, num_shown)).astype(int).tolist())
    tiles = [
        _tile(frame, index / fps, tile_px) for index, frame in enumerate(read_frames(video, fps)) if index in shown
    ]
    columns = min(columns, len(tiles))
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (math.ceil(len(tiles) / columns) * columns - len(tiles))
    return np.vstack([np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)])


def write_contact_sheet(video: Path, num_frames: int, output: Path, fps: float = 25.0) -> None:
    """Write a contact sheet as PNG.

    Args:
        video: Any video.
        num_frames: Number of its frames at `fps`.
        output: The PNG.
        fps: Frames per second.
    """
    sheet = contact_sheet(video, num_frames, fps=fps)
    with atomic_path(output) as temporary:
        write_image(temporary, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _tile(
    frame: UInt8[np.ndarray, "height width 3"], time_s: float, width: int
) -> UInt8[np.ndarray, "tile_height tile_width 3"]:
    height = max(1, round(frame.shape[0] * width / frame.shape[1]))
    tile = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    for colour, thickness in ((0, 3), (255, 1)):
        place = (4, height - 6)
        cv2.putText(tile, f"{time_s:.2f} s", place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (colour,) * 3, thickness)
    return tile
