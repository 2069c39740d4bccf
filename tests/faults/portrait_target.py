"""Damaged portable portraits: bytes anywhere in the file, and values of its description."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
from mutation import Undamaged, mutated, mutated_json


def portrait_damage(dataset: Path, folder: Path) -> Callable[[np.random.Generator, Path], Path]:
    """Pack an untrained portrait, and say how it is damaged."""
    content = _packed(dataset, folder / "whole.portrait").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, tensors = json.loads(content[8 : 8 + length]), content[8 + length :]

    def damage(random: np.random.Generator, into: Path) -> Path:
        path = into / "damaged.portrait"
        # Most damaged bytes are refused at once, or are a weight of another value; the description is what is believed.
        if isinstance(random, Undamaged) or random.random() < 0.4:
            path.write_bytes(mutated(content, random))
            return path
        path.write_bytes(_with_description(header, tensors, random))
        return path

    return damage


def _with_description(header: dict, tensors: bytes, random: np.random.Generator) -> bytes:
    from ns_talking.portable.layout import HEADER

    changed = deepcopy(header)
    if random.random() < 0.25:
        # Names, types, shapes and places of the tensors.
        changed = mutated_json(changed, random)
    else:
        facts = mutated_json(json.loads(header["__metadata__"][HEADER]), random)
        changed["__metadata__"][HEADER] = json.dumps(facts)
    text = json.dumps(changed).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + tensors


def _packed(dataset: Path, path: Path) -> Path:
    from ns_talking.methods.er_nerf import er_nerf
    from ns_talking.portable.writing import write_portrait
    from ns_talking.rendering.occupancy import OccupancyGridConfig

    config = deepcopy(er_nerf.config.pipeline)
    config.datamanager.data = dataset
    config.model = type(config.model)(occupancy=OccupancyGridConfig(resolution=16))
    write_portrait(config.setup(device="cpu", test_mode="inference").eval(), "er-nerf", path)
    return path


def open_as_render_does(path: Path) -> None:
    """Open a portrait, up to where it would be given a sound."""
    from ns_talking.portable.opening import open_portrait

    open_portrait(path)
