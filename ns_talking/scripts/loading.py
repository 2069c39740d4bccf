"""Loading a trained portrait from the config.yml of its training, from any folder and after data were moved."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig

    from ns_talking.pipelines.portrait import PortraitPipeline


PORTRAIT_SUFFIX = ".portrait"
"""Ending of the files that `ns-talking pack` writes."""


def load_portrait(config_path: Path, data: Path | None = None) -> PortraitPipeline:
    """Load a portrait for rendering, on a GPU where there is one.

    Args:
        config_path: `config.yml` that `ns-train` wrote, or its folder; or a file that `ns-talking pack` wrote.
        data: The dataset it was trained on, where that was moved.

    Raises:
        FileNotFoundError: When the config, its checkpoint or its dataset is missing.
        ValueError: When the config is none, or belongs to another method.
    """
    path = find_config(config_path)
    if path.suffix == PORTRAIT_SUFFIX:
        from ns_talking.portable.opening import open_portrait

        return open_portrait(path)
    import torch

    from ns_talking.pipelines.portrait import PortraitPipeline

    config = relocated(read_config(path), path, data)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    checkpoint = latest_checkpoint(config.relative_model_dir, config.load_step)
    state = read_checkpoint(checkpoint)
    pipeline = config.pipeline.setup(device=device, test_mode="inference")
    assert isinstance(pipeline, PortraitPipeline)
    pipeline.eval()
    pipeline.load_pipeline(state["pipeline"], state["step"])
    pipeline.checkpoint = checkpoint
    return pipeline


def latest_checkpoint(folder: Path, step: int | None) -> Path:
    """Choose the checkpoint to load.

    Args:
        folder: Where they are.
        step: The iteration wanted; None takes the last.

    Raises:
        FileNotFoundError: When it is not there.
    """
    found = sorted(folder.glob("step-*.ckpt" if step is None else f"step-{step:09d}.ckpt"))
    if not found:
        raise FileNotFoundError(
            f"There is no checkpoint {'step-*.ckpt' if step is None else f'step-{step:09d}.ckpt'} in {folder}. Keep "
            "the config beside its checkpoints, or train until the first one is written."
        )
    return found[-1]


def read_checkpoint(path: Path) -> dict[str, Any]:  # Any: tensors, numbers and texts.
    """Read a checkpoint of a training, on the CPU, without executing anything that it holds.

    Raises:
        ValueError: When it is damaged, holds Python objects, or is no checkpoint of a training.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} holds more than tensors, numbers and texts, or is damaged, and was not loaded: what else a "
            f"checkpoint can hold may execute code ({reason}). Get it again from where it was trained."
        ) from error
    except (RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        # PyTorch's reader takes any text for a program of its old format, and fails wherever that leads.
        raise ValueError(f"{path} is damaged or no checkpoint ({error}). Copy it again, or train again.") from error
    if not isinstance(state, dict) or not {"pipeline", "step"} <= set(state):
        raise ValueError(f"{path} is not a checkpoint that `ns-train` wrote. Name the config.yml of a training.")
    return state


def find_config(path: Path) -> Path:
    """Accept the config or the folder it lies in.

    Raises:
        FileNotFoundError: When there is none.
    """
    found = path / "config.yml" if path.is_dir() else path
    if not found.is_file():
        raise FileNotFoundError(
            f"There is no config {found}. `ns-train` prints where it writes it: "
            "outputs/NAME/er-nerf/DATE/config.yml. Train first: ns-train er-nerf --data DATASET"
        )
    return found


def read_config(path: Path) -> TrainerConfig:
    """Read a training's config, and insist that it trains a portrait.

    Raises:
        ValueError: When the file is no config of Nerfstudio, or belongs to a method that renders no portraits.
    """
    if path.suffix == PORTRAIT_SUFFIX:
        raise ValueError(
            f"{path} is a portrait to render, without the frames of its clip and its training's settings. Name the "
            "config.yml of the training here; `ns-talking render` takes both."
        )
    from nerfstudio.engine.trainer import TrainerConfig

    from ns_talking.pipelines.config_file import read_config_file
    from ns_talking.pipelines.portrait import PortraitPipelineConfig

    config = read_config_file(path)
    if not isinstance(config, TrainerConfig):
        raise ValueError(
            f"{path} is not a config of Nerfstudio. Name the config.yml that `ns-train` wrote beside its checkpoints."
        )
    if not isinstance(config.pipeline, PortraitPipelineConfig):
        raise ValueError(
            f"{path} was trained with the method {config.method_name!r}, which renders no talking portraits. "
            "Name the config of a portrait: ns-train er-nerf --data DATASET"
        )
    return config


def relocated(config: TrainerConfig, path: Path, data: Path | None) -> TrainerConfig:
    """Point a config at checkpoint and dataset where they are now.

    A config remembers both as they were named in training, often relative to the folder it was started from. The
    checkpoint is looked for beside the config; the dataset where it was, seen from here and from that folder.

    Args:
        config: Is changed.
        path: The file it was read from.
        data: The dataset, where it was moved.

    Raises:
        FileNotFoundError: When the checkpoint or the dataset is missing.
    """
    checkpoints = path.parent.resolve() / config.relative_model_dir
    if not any(checkpoints.glob("step-*.ckpt")):
        raise FileNotFoundError(
            f"There is no checkpoint step-*.ckpt in {checkpoints}. Keep the config beside its checkpoints, or train "
            "until the first one is written."
        )
    # An absolute path wins over the folders that Nerfstudio puts in front of it.
    config.relative_model_dir = checkpoints
    datamanager = config.pipeline.datamanager
    recorded = datamanager.data or datamanager.dataparser.data
    if data is None:
        places = [recorded, *_from_training_folder(config.output_dir, path, recorded)]
        data = next((place for place in places if place.exists()), None)
        if data is None:
            raise FileNotFoundError(
                f"The dataset of the training, {recorded}, is not there (looked at "
                f"{', '.join(str(place.absolute()) for place in places)}). Name the place it was moved to: --data DIR"
            )
    elif not data.exists():
        raise FileNotFoundError(f"There is no dataset {data}. Name the folder that the portrait was trained on.")
    datamanager.data = datamanager.dataparser.data = data.resolve()
    return config


def _from_training_folder(output_dir: Path, path: Path, recorded: Path) -> list[Path]:
    """Guess the dataset from where `output_dir`/experiment/method/date/config.yml says training was started."""
    if recorded.is_absolute() or output_dir.is_absolute():
        return []
    parents = path.resolve().parents
    depth = len(output_dir.parts) + 3
    return [parents[depth] / recorded] if depth < len(parents) else []
