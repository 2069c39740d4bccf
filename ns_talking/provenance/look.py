"""The process that looks for the watermark: `python -m ns_talking.provenance.look VIDEO`; it prints JSON or null."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ns_talking.utils.limits import limit_resources, run_limited

_MOST_FRAMES = 60
_LARGEST_STEP = 12


def look_for_watermark(path: Path) -> dict[str, int | float] | None:
    """Look for the watermark in the first half minute of a video that anyone may have made, in a limited process.

    Returns:
        `payload`, `score` and `cell_px` as in `Watermark`; None where there is none.

    Raises:
        ValueError: When no frame can be decoded within the limits of time and memory.
    """
    return json.loads(run_limited("ns_talking.provenance.look", str(path)))


def frames_to_look_at(path: Path) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Decode frames spread over the first half minute of a video; of two seconds, all."""
    from ns_talking.utils.video import read_frames, video_info

    info = video_info(path)
    step = min(_LARGEST_STEP, max(1, -(-info.num_frames // _MOST_FRAMES)))
    fps = info.fps if 1 <= info.fps <= 240 else 25.0
    return islice(read_frames(path, fps), 0, step * _MOST_FRAMES, step)


def main() -> None:
    """Look, and end with 1 and a sentence on standard error where that cannot be done."""
    limit_resources()
    from ns_talking.provenance.watermark_reading import read_watermark

    try:
        found = read_watermark(frames_to_look_at(Path(sys.argv[1])))
    except (ValueError, OSError, MemoryError) as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        sys.exit(1)
    sys.stdout.write(json.dumps(None if found is None else asdict(found)) + "\n")


if __name__ == "__main__":
    main()
