"""The eleven classes of every pixel, from a face parser where the user has one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ns_talking.data.face_classes import FaceClass
from ns_talking.data.format import image_name
from ns_talking.process.face_parser import FaceParser, parser_files
from ns_talking.process.frame_pool import usable_frames, write_png
from ns_talking.process.step import ProcessSettings, Progress, Workspace, atomic_folder
from ns_talking.utils.files import sha256


class FaceClassesStep:
    """Writes `classes/` where a face parser was named; elsewhere classes are drawn from landmarks when needed."""

    name = "face_classes"
    needs = ("frames", "landmarks")
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """Files and folders that exist when the step is done."""
        return [] if workspace.settings.face_parser is None else [workspace.classes]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Only the settings that affect its outputs."""
        if settings.face_parser is None:
            return {}
        config, weights = parser_files(settings.face_parser)
        return {"face_parser": [sha256(config), sha256(weights)]}

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Do the step."""
        if workspace.settings.face_parser is None:
            return {}
        parser = FaceParser(workspace.settings.face_parser)
        indices = usable_frames(workspace).indices
        counts = np.zeros(len(FaceClass), dtype=np.int64)
        with (
            atomic_folder(workspace.classes) as folder,
            progress("Telling the classes of the face", total=len(indices), unit="frames") as advance,
        ):
            for index in indices:
                classes = parser.classes(workspace.read_image(index))
                write_png(folder / image_name(index, ".png"), classes)
                counts += np.bincount(classes.ravel(), minlength=len(FaceClass))
                advance()
        shares = counts / max(counts.sum(), 1)
        return {"shares": {face_class.name.lower(): round(float(shares[face_class]), 5) for face_class in FaceClass}}
