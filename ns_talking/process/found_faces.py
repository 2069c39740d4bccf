"""All faces of a clip on disk, until it is clear which of them are one person's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ns_talking.process.faces import SeenFace
from ns_talking.process.landmark_detectors import Face
from ns_talking.utils.mapped import release

NUM_BLENDSHAPES = 52
LANDMARKS_FILE = "landmarks.npy"
_RELEASE_EVERY = 1024


class FoundFaces:
    """Keeps landmarks and blendshapes of every face; a context manager.

    Args:
        folder: Where.
        num_points: Landmarks of a face.
    """

    def __init__(self, folder: Path, num_points: int) -> None:
        self.frames: list[list[SeenFace]] = []
        """Where the faces of each frame are."""
        self._folder, self._num_points, self._num_faces = folder, num_points, 0
        self._first: list[int] = []
        self._stack = ExitStack()

    def __enter__(self) -> FoundFaces:
        """Open the file."""
        self._file = self._stack.enter_context((self._folder / "faces.float32").open("w+b"))
        return self

    def __exit__(self, *details: object) -> None:
        """Close it."""
        self._stack.close()

    def add(self, faces: Sequence[Face]) -> None:
        """Keep the faces of the next frame."""
        self._first.append(self._num_faces)
        self.frames.append([SeenFace.of(face.points) for face in faces])
        for face in faces:
            values = np.full(self._record, np.nan, dtype=np.float32)
            values[: 3 * self._num_points] = face.points.ravel()
            if face.blendshapes is not None:
                values[3 * self._num_points :] = face.blendshapes
            self._file.write(values.tobytes())
            self._num_faces += 1

    def of_person(self, chosen: Sequence[int | None]) -> tuple[np.memmap, Float[np.ndarray, "frames shapes"]]:
        """Gather one face of every frame.

        Args:
            chosen: Which; None where there is none.

        Returns:
            Landmarks [frames, points, 3] as a map of `LANDMARKS_FILE` in the folder, and blendshapes; float32, NaN
            where there is no face or the detector knows no blendshapes.
        """
        shape = (len(chosen), self._num_points, 3)
        landmarks = np.lib.format.open_memmap(self._folder / LANDMARKS_FILE, "w+", np.float32, shape)
        blendshapes = np.full((len(chosen), NUM_BLENDSHAPES), np.nan, dtype=np.float32)
        for index, which in enumerate(chosen):
            if which is None:
                landmarks[index] = np.nan
            else:
                self._file.seek(4 * self._record * (self._first[index] + which))
                values = np.frombuffer(self._file.read(4 * self._record), dtype=np.float32)
                landmarks[index] = values[: 3 * self._num_points].reshape(-1, 3)
                blendshapes[index] = values[3 * self._num_points :]
            if index % _RELEASE_EVERY == 0:
                release(landmarks)
        return landmarks, blendshapes

    @property
    def _record(self) -> int:
        return 3 * self._num_points + NUM_BLENDSHAPES
