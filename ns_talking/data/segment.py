"""Which part of a long clip teaches most: varied sound, lips that open wide, a head that turns. Our design.

A long video costs memory and preparation, and much of it shows the same. One piece of it is kept rather than scattered
frames, since windows of sound reach over their neighbours.
"""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float

from ns_talking.data.format import Portrait
from ns_talking.data.landmarks import scheme
from ns_talking.data.lip_shape import lip_aperture, lip_shapes

_SOUNDS = 32
"""Kinds of sound that are told apart."""
_STEP_S = 0.5
"""Distance of the pieces that are compared."""


def best_segment(portrait: Portrait, sound: Float[np.ndarray, "frames channels"], seconds: float) -> list[int]:
    """Choose the training frames of the best piece of a clip.

    A piece is scored by the mean of three numbers, each 1 for the best piece: how evenly it holds the kinds of sound of
    all training frames (the entropy over 32 clusters), how much the lips' opening varies, and how much the head turns
    (both as standard deviations).

    Args:
        portrait: The dataset.
        sound: What is heard in every frame of the clip, in any features.
        seconds: Length of the piece.

    Returns:
        Indices of its frames, in time order; all training frames where they last no longer.

    Raises:
        ValueError: When the length is not positive.
    """
    if not seconds > 0:
        raise ValueError(f"Training on the best {seconds:g} s of a clip needs a positive length. Give some seconds.")
    frames = np.array([frame.index for frame in portrait.split("train")])
    length, step = round(seconds * portrait.fps), max(round(_STEP_S * portrait.fps), 1)
    last = frames[-1] + 1 - length
    if last <= frames[0]:
        return frames.tolist()
    layout = scheme(portrait.landmark_scheme)
    opening = lip_aperture(lip_shapes(portrait.landmarks[frames], layout), layout)
    forward = portrait.head_poses[frames, :3, 2]
    kinds = _kinds(sound[frames])
    starts = np.arange(frames[0], last + 1, step)
    scores = np.zeros((len(starts), 3))
    for row, start in enumerate(starts):
        inside = (frames >= start) & (frames < start + length)
        if inside.sum() < length / 2:  # A piece with holes: frames without a face.
            continue
        share = np.bincount(kinds[inside], minlength=_SOUNDS) / inside.sum()
        entropy = -(share * np.log(np.maximum(share, 1e-12))).sum()
        scores[row] = entropy, np.nanstd(opening[inside]), np.linalg.norm(forward[inside].std(axis=0))
    best = int((scores / np.maximum(scores.max(axis=0), 1e-9)).mean(axis=1).argmax())
    return frames[(frames >= starts[best]) & (frames < starts[best] + length)].tolist()


def _kinds(sound: np.ndarray) -> np.ndarray:
    """Sort frames by what is heard in them."""
    from scipy.cluster.vq import kmeans2

    spread = sound.std(axis=0)
    # Channels that never change say nothing.
    values = (sound - sound.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    count = min(_SOUNDS, len(values))
    if not values.shape[1]:
        return np.zeros(len(sound), dtype=np.int64)
    values = values.astype(np.float64)
    first = values[np.linspace(0, len(values) - 1, count).round().astype(int)]
    with warnings.catch_warnings():
        # Where the same is heard twice, two kinds are one.
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        return kmeans2(values, first, minit="matrix")[1]
