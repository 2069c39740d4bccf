"""What `ns-talking render --smooth` does to the head's motion: how much less it trembles, and how far it moves away.

```
python benchmarks/pose_smoothing.py --data DATASET ...
```

The distance from the filmed motion is told twice: of the motion itself, which smoothing takes a part of, and of the
motion with as much noise again as it has, which smoothing takes away. Where the second falls, smoothing is worth it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timing
import tyro
from jaxtyping import Float

from ns_talking.data.format import OUTER_EYE_DISTANCE, read_portrait
from ns_talking.driving.smoothing import smooth_head_poses
from ns_talking.metrics.stability import noise_of
from ns_talking.process.contact_sheets import project
from ns_talking.utils.files import write_json

SIGMAS_S = (0.0, 0.04, 0.08, 0.16)
SIZE_PX = 512
_HALF = OUTER_EYE_DISTANCE / 2
_POINTS = np.array([[-_HALF, -0.35, 0.117], [_HALF, -0.35, 0.117], [0.0, -0.45, 0.0], [0.0, -0.44, 0.3]])
"""Outer corners of the eyes, tip of the nose and forehead in the world of the head."""
Figures = dict[str, Any]  # Any: JSON.


@dataclass
class Smoothing:
    """Smooth, measure, write."""

    data: tuple[Path, ...]
    """Datasets of filmed clips."""
    seed: int = 42
    """Of the noise that is added."""

    def main(self) -> None:
        """Measure every clip with every width."""
        found = {folder.name: [self._measure(folder, sigma_s) for sigma_s in SIGMAS_S] for folder in self.data}
        about = "px at 512; noise by second differences, as the metric jitter; distances are root mean squares"
        write_json(timing.RESULTS / "pose_smoothing.json", {**timing.circumstances(), "about": about, "clips": found})
        for name, rows in found.items():
            print(name, *rows, sep="\n  ")

    def _measure(self, folder: Path, sigma_s: float) -> Figures:
        clip = read_portrait(folder)
        focal_px = clip.focal_px / clip.width * SIZE_PX
        filmed = clip.head_poses.astype(np.float64)
        distance = np.linalg.norm(filmed[:, :3, 3], axis=1)
        noise = np.random.default_rng(self.seed).normal(0, _trembling(filmed, focal_px) / focal_px, (len(filmed), 2))
        head_to_camera = np.linalg.inv(filmed)
        head_to_camera[:, :2, 3] += noise * distance[:, None]
        smooth = smooth_head_poses(filmed, sigma_s, clip.fps)
        noisy = smooth_head_poses(np.linalg.inv(head_to_camera), sigma_s, clip.fps)
        return {
            "sigma_s": sigma_s,
            "noise_px": round(_trembling(smooth, focal_px), 3),
            "from_filmed_px": round(_apart(smooth, filmed, focal_px), 3),
            "with_noise_from_filmed_px": round(_apart(noisy, filmed, focal_px), 3),
        }


def _seen(head_poses: Float[np.ndarray, "frames 4 4"], focal_px: float) -> Float[np.ndarray, "frames points 2"]:
    return np.stack([project(_POINTS, pose, focal_px, SIZE_PX, SIZE_PX) for pose in head_poses])


def _trembling(head_poses: Float[np.ndarray, "frames 4 4"], focal_px: float) -> float:
    return noise_of(np.median(np.abs(np.diff(_seen(head_poses, focal_px), n=2, axis=0)), axis=(1, 2)))


def _apart(first: np.ndarray, second: np.ndarray, focal_px: float) -> float:
    offset = _seen(first, focal_px) - _seen(second, focal_px)
    return float(np.sqrt((offset**2).sum(axis=-1).mean()))


if __name__ == "__main__":
    tyro.cli(Smoothing).main()
