"""The usable frames of a clip, and work on them in a few threads: OpenCV's decoding and encoding run side by side."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import Float

from ns_talking.data.landmarks import SCHEMES, LandmarkScheme
from ns_talking.process.step import Workspace
from ns_talking.utils.images import write_image
from ns_talking.utils.mapped import measured

Item = TypeVar("Item")
Result = TypeVar("Result")

PNG_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
"""Parsing and torso layers are mostly flat, so run lengths pack them as well as a slower search would."""


@dataclass(frozen=True)
class UsableFrames:
    """Frames in which a face was found."""

    indices: list[int]
    landmarks: Float[np.ndarray, "frames points axes"]
    """Of all frames of the clip, NaN where there is no face; on disk, see `ns_talking.utils.mapped`."""
    layout: LandmarkScheme


def usable_frames(workspace: Workspace) -> UsableFrames:
    """List the frames in which a face was found.

    Raises:
        ValueError: When there is none.
    """
    landmarks = np.load(workspace.landmarks, mmap_mode="r", allow_pickle=False)
    indices = np.flatnonzero(measured(landmarks, lambda part: np.isfinite(part).all(axis=(1, 2)))).tolist()
    if not indices:
        raise ValueError(
            f"No frame of {workspace.video.name} shows a face. Film one person facing the camera, well lit, "
            "or choose another part of the video with --start and --max-seconds."
        )
    return UsableFrames(indices, landmarks, layout_of(landmarks))


def layout_of(landmarks: Float[np.ndarray, "frames points axes"]) -> LandmarkScheme:
    """Tell the scheme of landmarks by their number.

    Raises:
        ValueError: When no scheme has that many points.
    """
    for layout in SCHEMES.values():
        if layout.num_points == landmarks.shape[1]:
            return layout
    known = ", ".join(f"{layout.num_points} ({name})" for name, layout in SCHEMES.items())
    raise ValueError(f"Landmarks have {landmarks.shape[1]} points, known are {known}. Run the landmarks step again.")


def spread(indices: list[int], count: int) -> list[int]:
    """Pick frames evenly over the clip, all of them when there are no more than `count`."""
    if len(indices) <= count:
        return list(indices)
    return [indices[k] for k in np.linspace(0, len(indices) - 1, count).round().astype(int)]


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map a function over items in a few threads, in order, holding only a few results at a time."""
    workers = max(2, min(8, os.cpu_count() or 2))
    # The frames already keep every core busy; OpenCV's own threads within each call would only get in their way.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[Future[Result]] = deque()
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        cv2.setNumThreads(threads)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a PNG fast; channels are in OpenCV's order.

    Raises:
        OSError: When it cannot be written.
    """
    write_image(path, image, PNG_FAST)
