"""The parts of a portable portrait as files, to look at or to use elsewhere."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ns_talking.portable.layout import WEIGHTS
from ns_talking.portable.reading import PortableFile
from ns_talking.utils.files import atomic_path, write_json

_PICTURES = ("thumbnail", "background")


def write_parts(file: PortableFile, folder: Path) -> list[str]:
    """Write JSON, arrays, pictures and weights under names that do not come from the file.

    Args:
        file: A file that was checked.
        folder: Where to; it appears complete.

    Returns:
        The names of the files.
    """
    from safetensors.torch import save_file

    with atomic_path(folder) as temporary:
        write_json(temporary / "portrait.json", dict(file.facts))
        for name, track in file.tracks.items():
            if name in _PICTURES:
                cv2.imwrite(str(temporary / f"{name}.png"), track[..., ::-1])
            else:
                np.save(temporary / f"{name}.npy", track, allow_pickle=False)
        save_file({WEIGHTS + name: value for name, value in file.weights.items()}, temporary / "weights.safetensors")
    return sorted(part.name for part in folder.iterdir())
