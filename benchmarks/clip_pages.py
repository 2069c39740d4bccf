"""Pictures of a measured clip: real beside rendered frames, and the lips' opening over time."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib
import numpy as np

from ns_talking.utils.files import atomic_path

_TILE_PX = 256
_PAIRS_PER_ROW = 4


def write_contact_sheet(path: Path, real: np.ndarray, rendered: np.ndarray, opening: np.ndarray) -> None:
    """Write pairs of frames, real left, rendered right: 12 spread over time, then the 12 with the widest real mouths.

    Args:
        path: The PNG.
        real: uint8 [frames, height, width, 3].
        rendered: The same frames.
        opening: Aperture of the real lips.
    """
    spread = np.unique(np.linspace(0, len(real) - 1, 12).round().astype(int))
    widest: list[int] = []
    for row in np.argsort(-np.nan_to_num(opening)):
        # Neighbouring frames show the same mouth.
        if len(widest) < 12 and all(abs(int(row) - other) > 2 for other in widest):
            widest.append(int(row))
    pairs = [
        np.hstack([_tile(real[row], f"{row}"), _tile(rendered[row], "")]) for row in [*spread.tolist(), *sorted(widest)]
    ]
    pairs += [np.zeros_like(pairs[0])] * (-len(pairs) % _PAIRS_PER_ROW)
    rows = [np.hstack(pairs[at : at + _PAIRS_PER_ROW]) for at in range(0, len(pairs), _PAIRS_PER_ROW)]
    with atomic_path(path) as temporary:
        encoded = cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))[1]
        temporary.write_bytes(encoded.tobytes())


def write_plot(path: Path, real: np.ndarray, rendered: np.ndarray) -> None:
    """Plot real and rendered aperture over the frames.

    Args:
        path: The PNG.
        real: Aperture of the real lips.
        rendered: Aperture of the rendered lips.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(14, 4))
    axes.plot(real, label="real", color="black")
    axes.plot(rendered, label="rendered", color="tab:red")
    axes.set(xlabel="frame of the held-out part", ylabel="opening of the lips / outer-eye distance")
    axes.legend()
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")
    pyplot.close(figure)


def _tile(image: np.ndarray, text: str) -> np.ndarray:
    tile = cv2.resize(image, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_CUBIC)
    cv2.putText(tile, text, (6, _TILE_PX - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 0), 1)
    return np.ascontiguousarray(tile)
