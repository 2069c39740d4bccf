"""From feature rate to video rate: the context of audio windows of every frame.

Three rates meet here, and these words keep them apart throughout:

    step     row of the feature table; step i is the instant i / rate_hz
    frame    of the video; frame k shows the instant k / fps
    window   W steps around the instant of one frame
    context  the windows of the frames k-4 .. k+3, which the audio attention weighs for frame k

The context of 8 windows is RAD-NeRF's (`att=2`); its windows outside the sound are whatever the features say there:
silence from tables, zeros from windows cut beforehand.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from ns_talking.audio.base import FeatureTable

CONTEXT = 8
"""Windows per frame."""


def context_frames(frames: Int[np.ndarray, " frames"], context: int = CONTEXT) -> Int[np.ndarray, "frames context"]:
    """List the frames whose windows a frame listens to: as many before it as from it on, for an even context."""
    return np.asarray(frames, dtype=np.int64)[:, None] + np.arange(context) - context // 2


def context_windows(
    features: FeatureTable, frames: Int[np.ndarray, " frames"], fps: float, context: int = CONTEXT
) -> Float[np.ndarray, "frames context channels window"]:
    """Cut the context of windows of each frame.

    Args:
        features: Features of the sound.
        frames: Indices of video frames.
        fps: Frames per second.
        context: Windows per frame.
    """
    needed, row = np.unique(context_frames(frames, context), return_inverse=True)
    windows = features.windows(needed / fps)
    return windows[row.reshape(len(frames), context)]
