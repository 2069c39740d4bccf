"""Rows of the real frames: as they are, and encoded as rendered videos are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from ns_talking.evaluation.protocol import Torso
from ns_talking.evaluation.subject import Image, Subject
from ns_talking.utils.video import VideoWriter, read_frames

_CRF = 18
"""What `ns-talking render` writes unless told otherwise."""


def real(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Give the real frames: what every measure that needs no comparison says about a person."""
    own_torso_only("real", torsos)
    for image in subject.real_images():
        yield {"own": image}


def re_encoded(subject: Subject, torsos: tuple[Torso, ...]) -> Iterator[dict[Torso, Image]]:
    """Give the real frames after H.264: what the file format alone costs."""
    own_torso_only("re-encoded", torsos)
    width, height = subject.size
    with tempfile.TemporaryDirectory(prefix="ns-talking-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "real.mp4"
        with VideoWriter(path, width, height, subject.fps, None, _CRF, comment="Real frames, encoded again") as writer:
            for image in subject.real_images():
                writer.write(image)
        for image in read_frames(path, subject.fps):
            yield {"own": image[:height, :width]}


def own_torso_only(name: str, torsos: tuple[Torso, ...]) -> None:
    """Refuse to lay over the real torso what is no rendered head.

    Raises:
        ValueError: When it was asked for.
    """
    if torsos != ("own",):
        raise ValueError(f"The row {name!r} is no rendered head, so it cannot be laid over the real torso.")
