"""Which clip a dataset is, so that a portrait is not mistaken for another's."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

import numpy as np

from ns_talking.data.format import Portrait

_DIGITS = 4


@dataclass(frozen=True)
class ClipIdentity:
    """What a portrait remembers of the clip it was trained on."""

    digest: str
    """Of the clip's head poses, size and lens: the same wherever the dataset lies, whatever audio features it holds
    and however it is split."""
    summary: str
    """The clip in words."""

    def as_state(self) -> dict[str, str]:
        """Give what goes into a checkpoint: text alone, which every safe loader takes."""
        return asdict(self)


def clip_identity(portrait: Portrait) -> ClipIdentity:
    """Tell the clip of a dataset.

    Args:
        portrait: The dataset.
    """
    poses = np.round(np.asarray(portrait.head_poses, dtype=np.float64)[:, :3], _DIGITS) + 0.0
    facts = f"{portrait.num_frames} {portrait.fps:g} {portrait.width} {portrait.height} {portrait.focal_px:.2f}"
    digest = hashlib.sha256(facts.encode() + poses.tobytes()).hexdigest()[:32]
    size = f"{portrait.width} x {portrait.height} px"
    return ClipIdentity(digest, f"{portrait.num_frames} frames at {portrait.fps:g} frames/s, {size}")
