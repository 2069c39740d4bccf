"""Head poses that a clip lends to a track of any length."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


class LentPoses:
    """A clip's head poses in the order of a track's frames, looked up when they are asked for.

    Written out, those of an hour would take 12 MB, and more memory the longer the sound is.
    """

    def __init__(self, clip: Float[np.ndarray, "clip 4 4"], order: Int[np.ndarray, " frames"]) -> None:
        """Say who lends.

        Args:
            clip: The clip's poses, camera-to-world.
            order: Frame of the clip that each frame of the track takes its pose from.
        """
        self._clip, self._order = clip, order

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, 4, 4."""
        return (len(self._order), 4, 4)

    @property
    def dtype(self) -> np.dtype:
        """Type of the clip's numbers."""
        return self._clip.dtype

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._order)

    def __getitem__(self, frames: int | np.integer | slice | Int[np.ndarray, " some"]) -> np.ndarray:
        """Look up the pose of a frame, or the poses of several."""
        return self._clip[self._order[frames]]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """Write out the poses of all frames, for `np.asarray`."""
        return self[:] if dtype is None else self[:].astype(dtype)
