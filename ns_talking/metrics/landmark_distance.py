"""How far rendered landmarks lie from real ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ns_talking.data.landmarks import LandmarkScheme


def lip_landmark_distance(
    rendered: Float[np.ndarray, "frames points axes"],
    real: Float[np.ndarray, "frames points axes"],
    layout: LandmarkScheme,
    centred: bool = False,
) -> Float[np.ndarray, " frames"]:
    """Measure the mean distance of the 20 lip landmarks in every frame (LMD), in px.

    Source:
        Chen et al., "Lip movements generation at a glance", ECCV 2018; the ER-NeRF family removes the mean of the
        lips first (`centred`), so that only their shape counts and not where the head is.

    Args:
        rendered: Landmarks of the rendered frames.
        real: Landmarks of the real frames.
        layout: Scheme of both.
        centred: Whether the mean of each frame's lips is taken out first.

    Returns:
        NaN where either frame has no face.
    """
    lips = layout.ibug68[48:68]
    ours, theirs = (points[:, lips, :2].astype(np.float64) for points in (rendered, real))
    if centred:
        ours, theirs = (points - points.mean(axis=1, keepdims=True) for points in (ours, theirs))
    return np.linalg.norm(ours - theirs, axis=-1).mean(axis=1)
