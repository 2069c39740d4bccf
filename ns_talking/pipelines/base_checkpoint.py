"""Networks that were trained on other people, as the start of a training on a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_MODEL = "_model."


def read_base(config: Path) -> dict[str, Any]:  # Any: extra states beside tensors.
    """Read the model's state from the newest checkpoint of a training.

    Args:
        config: Its config.yml, or the folder that holds it.

    Raises:
        FileNotFoundError: When there is no checkpoint beside it.
    """
    folder = config if config.is_dir() else config.parent
    checkpoints = sorted((folder / "nerfstudio_models").glob("step-*.ckpt"))
    if not checkpoints:
        raise FileNotFoundError(
            f"The base {config} has no checkpoint step-*.ckpt in {folder / 'nerfstudio_models'}. Name the config.yml "
            "of a finished training: ns-train ae-nerf-base --data PEOPLE"
        )
    state = torch.load(checkpoints[-1], map_location="cpu", weights_only=True)["pipeline"]
    names = {name.removeprefix("module."): value for name, value in state.items()}
    return {name.removeprefix(_MODEL): value for name, value in names.items() if name.startswith(_MODEL)}


def start_from(model: nn.Module, base: dict[str, Any], own: tuple[str, ...]) -> int:  # Any: as above.
    """Copy what a base knows into a model, by name.

    Args:
        model: Is changed.
        base: State of the base.
        own: Beginnings of the names that each person has for itself; they stay as they are.

    Returns:
        How many numbers were copied.

    Raises:
        ValueError: When the two do not have the same parts.
    """
    mine = {name: value for name, value in model.state_dict().items() if not name.startswith(own)}
    theirs = {name: value for name, value in base.items() if not name.startswith(own)}
    wanted = {name: value for name, value in mine.items() if isinstance(value, Tensor)}
    given = {name: value for name, value in theirs.items() if isinstance(value, Tensor)}
    for name in sorted(set(wanted) | set(given)):
        sizes = [tuple(state[name].shape) if name in state else "missing" for state in (given, wanted)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"The base does not fit: {name!r} is {sizes[0]} in it and {sizes[1]} here. Both need the same options "
                "under --pipeline.model and the same audio features; the lines `model:` of the base's config.yml say "
                "which it was trained with."
            )
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(given[name])
    return sum(value.numel() for value in wanted.values())
