"""Where a clip shows the mouth at rest: quiet moments with closed lips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from ns_talking.data.format import Portrait
from ns_talking.data.landmarks import scheme
from ns_talking.data.lip_shape import lip_aperture, lip_shapes
from ns_talking.driving.features import voice_of

_QUIET = 0.1
"""Voice activity below which a frame is quiet."""
_FEWEST = 5
"""Fewer quiet frames than this are an accident, not a habit."""
_CLOSED_SHARE = 0.02
"""Share of all frames, those with the least opening, that stand in where a clip has no pause."""


def rest_of(
    portrait: Portrait, frames: Sequence[int]
) -> tuple[Int[np.ndarray, " chosen"], Float[np.ndarray, "chosen points 2"]]:
    """Find the frames of a clip that show the mouth at rest.

    Args:
        portrait: The dataset.
        frames: Frames to choose from, as positions in the clip.

    Returns:
        Positions in the clip, and the lip shapes there.
    """
    layout, indices = scheme(portrait.landmark_scheme), np.asarray(frames)
    shapes, voice = lip_shapes(portrait.landmarks[indices], layout), None
    if portrait.audio is not None:
        heard = indices if portrait.audio_frames is None else portrait.audio_frames[indices]
        voice = voice_of(portrait.audio, int(heard.max()) + 1, portrait.fps)[heard]
    chosen = rest_frames(voice, lip_aperture(shapes, layout))
    return indices[chosen], shapes[chosen]


def rest_frames(
    voice: Float[np.ndarray, " frames"] | None, aperture: Float[np.ndarray, " frames"]
) -> Int[np.ndarray, " chosen"]:
    """Find the frames that show the mouth at rest.

    In pauses that is how the speaker holds the lips, the more closed half of them, since breaths are taken there too.
    A speaker who never pauses is at rest where the lips are closed most.

    Source:
        Our design.

    Args:
        voice: Voice activity of each frame, or None without sound.
        aperture: How far the inner lips are open; NaN where there is no face.

    Returns:
        Positions in the arrays, at least one.

    Raises:
        ValueError: When no frame has a face.
    """
    seen = np.isfinite(aperture)
    if not seen.any():
        raise ValueError(
            "No training frame shows a face, so there is no mouth at rest. Process another part of the video."
        )
    quiet = seen & (voice < _QUIET) if voice is not None else np.zeros(len(seen), dtype=bool)
    if quiet.sum() >= _FEWEST:
        return np.flatnonzero(quiet & (aperture <= np.median(aperture[quiet])))
    fewest = max(_FEWEST, round(_CLOSED_SHARE * seen.sum()))
    return np.sort(np.argsort(np.where(seen, aperture, np.inf))[: min(fewest, int(seen.sum()))])
