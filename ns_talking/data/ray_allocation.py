"""How many rays each class of a frame gets: in proportion to its loss, within bounds, and never more than it has.

Source:
    SSP-NeRF (Liu et al., ECCV 2022), semantic-aware dynamic ray sampling, by its published figure: mean loss per class,
    normalised over the classes of the frame, gives the number of rays. Floor and cap are ours: thin classes that are
    mislabelled would otherwise eat the budget, and a class without rays could never tell that its loss has grown.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

_HALVINGS = 50


def allocate_rays(
    losses: Float[np.ndarray, " classes"],
    available: Int[np.ndarray, "frames classes"],
    num_rays: Int[np.ndarray, " frames"],
    floor: float,
    cap: float,
) -> Int[np.ndarray, "frames classes"]:
    """Share out the rays of several frames.

    Each class gets clip(factor * loss, floor, cap) of the rays, with the one factor per frame that makes the shares sum
    to 1, so that more loss never means fewer rays. The rounding goes to the largest fractions.

    Args:
        losses: Mean loss of every class, >= 0.
        available: Pixels of each class in each frame; a class without pixels gets nothing.
        num_rays: Rays of each frame.
        floor: Least share of a class that is present.
        cap: Largest share of a class, where the others have pixels enough to take the rest.

    Returns:
        Rays of each class. They sum to `num_rays`; only where a frame has fewer pixels than rays, classes get more than
        they have.
    """
    total = available.sum(axis=1, keepdims=True)
    wanted = np.where(available > 0, np.maximum(losses, 1e-12), 0.0)
    most = available / np.maximum(num_rays, 1)[:, None]
    upper = np.minimum(cap, most)
    # Where the cap leaves rays over, pixels alone bound; where even those do, every pixel is taken alike.
    upper = np.where(upper.sum(axis=1, keepdims=True) < 1, most, upper)
    scarce = total <= num_rays[:, None]
    lower = np.minimum(np.where(available > 0, floor, 0.0), upper)
    lower = lower * np.minimum(1, 1 / np.maximum(lower.sum(axis=1, keepdims=True), 1e-12))
    small, large = np.zeros((len(available), 1)), np.full((len(available), 1), 1 / 1e-12)
    for _ in range(_HALVINGS):
        # Halving the exponent: the factor spans many orders of magnitude.
        factor = np.sqrt(np.maximum(small, 1e-12) * large)
        too_much = np.clip(factor * wanted, lower, upper).sum(axis=1, keepdims=True) > 1
        small, large = np.where(too_much, small, factor), np.where(too_much, factor, large)
    shares = np.where(scarce, available / np.maximum(total, 1), np.clip(small * wanted, lower, upper))
    exact = shares * num_rays[:, None]
    counts = np.floor(exact + 1e-6).astype(np.int64)
    fraction = np.where(available > 0, exact - counts, -1.0)
    rank = np.argsort(np.argsort(-fraction, axis=1, kind="stable"), axis=1)
    return counts + (rank < (num_rays - counts.sum(axis=1))[:, None])
