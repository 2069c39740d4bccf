"""Short videos with sound, and a made-up origin to mark them with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ns_talking.provenance.marking import Origin
from ns_talking.utils.video import VideoWriter
from ns_talking.utils.video_mark import VideoMark

ORIGIN = Origin(
    "ERNeRF",
    hashes={"training_clip": "ab" * 32, "audio": "cd" * 32, "checkpoint": "ef" * 32},
    subject={"who": "the one who films", "consent": "myself", "scope": "tests", "date": "2026-08-31"},
)


def write_video(path: Path, mark: VideoMark | None, comment: str = "") -> Path:
    generator = np.random.default_rng(0)
    sound = generator.uniform(-0.1, 0.1, 8000).astype(np.float32)
    with VideoWriter(path, 64, 48, 25.0, sound, comment=comment, mark=mark) as writer:
        for _ in range(12):
            writer.write(generator.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    return path
