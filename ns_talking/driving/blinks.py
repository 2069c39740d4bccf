"""When the eyes blink: as in the clip, not at all, by a schedule of our own, or as a file says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ns_talking.driving.track import mirrored_indices
from ns_talking.utils.arrays import read_array

_MEDIAN_PAUSE_S, _SPREAD = 3.2, 0.55
"""Median time between two blinks, and the spread of its logarithm: about 15 blinks a minute. Bentivoglio et al.,
"Analysis of blink rate patterns in normal subjects", 1997, report 17 at rest and 26 in conversation."""
_SHORTEST_PAUSE_S = 0.8
_CLOSING_S, _SHUT_S, _OPENING_S = 0.09, 0.05, 0.17
"""Lids fall faster than they rise."""
_COLUMN, _SHUT_INTENSITY = "AU45_r", 2.0
"""OpenFace's action unit of blinking, and its intensity of a closed eye."""


def natural_blinks(num_frames: int, fps: float, seed: int = 0) -> Float[np.ndarray, " frames"]:
    """Make up blinks at irregular intervals; the same seed blinks at the same instants.

    Source:
        Our design: intervals follow a log-normal law; lids close and open by a raised cosine.

    Args:
        num_frames: Length.
        fps: Frames per second.
        seed: Of the intervals.

    Returns:
        0 open, 1 closed.
    """
    generator = np.random.default_rng(seed)
    time_s = np.arange(num_frames) / fps
    blink = np.zeros(num_frames)
    # The first pause is cut short, as if one had begun to look at some instant.
    start_s = generator.uniform(0.3, 1.0) * _MEDIAN_PAUSE_S
    while start_s < num_frames / fps:
        closing = np.clip((time_s - start_s) / _CLOSING_S, 0, 1)
        opening = np.clip((time_s - start_s - _CLOSING_S - _SHUT_S) / _OPENING_S, 0, 1)
        blink = np.maximum(blink, 0.5 - 0.5 * np.cos(np.pi * (closing - opening)))
        start_s += _CLOSING_S + _SHUT_S + _OPENING_S
        start_s += max(_SHORTEST_PAUSE_S, _MEDIAN_PAUSE_S * np.exp(_SPREAD * generator.standard_normal()))
    return blink.astype(np.float32)


def read_blinks(path: Path) -> Float[np.ndarray, " frames"]:
    """Read blinks from a file: an array (.npy), or a table (.csv, .txt).

    Args:
        path: One number per frame, 0 open to 1 closed; a table with a header is OpenFace's, and its intensity of action
            unit 45 is taken.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it holds no such numbers.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"--blink {path} is neither track, off nor natural, and no file of that name exists. Name a .npy or .csv "
            "file with one number per frame."
        )
    try:
        values = read_array(path) if path.suffix == ".npy" else _table(path)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as blinks ({error}). Give one number per frame, 0 to 1.") from error
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ValueError(
            f"{path} should hold one number per frame from 0 (open) to 1 (closed), found shape {values.shape}"
            f"{f' from {values.min():g} to {values.max():g}' if values.size else ''}."
        )
    return values.astype(np.float32)


def blinks(
    choice: str, own: Float[np.ndarray, " frames"], fps: float, eyes: float | None = None, seed: int = 0
) -> Float[np.ndarray, " frames"]:
    """Choose how the eyes blink.

    Args:
        choice: `track` blinks as the frames do that lend their pose, `off` never, `natural` by schedule; anything else
            names a file, which is played forward and backward.
        own: Blinks of the frames that lend their pose.
        fps: Frames per second.
        eyes: How far the lids are closed at least, 0 wide open to 1 shut; None leaves that to the blinks.
        seed: Of `natural`.

    Raises:
        ValueError: When `eyes` is out of range.
    """
    if eyes is not None and not 0 <= eyes <= 1:
        raise ValueError(f"--eyes {eyes:g} is out of range: 0 is wide open, 1 is shut.")
    if choice == "track":
        chosen = own
    elif choice == "off":
        chosen = np.zeros_like(own)
    elif choice == "natural":
        chosen = natural_blinks(len(own), fps, seed)
    else:
        values = read_blinks(Path(choice))
        chosen = values[mirrored_indices(len(own), len(values))]
    return chosen if eyes is None else np.maximum(chosen, np.float32(eyes))


def _table(path: Path) -> np.ndarray:
    with path.open(newline="", encoding="utf-8") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    if rows and _COLUMN in rows[0]:
        column = rows[0].index(_COLUMN)
        return np.clip([float(row[column]) / _SHUT_INTENSITY for row in rows[1:]], 0, 1)
    return np.array([float(row[-1]) for row in rows])
