"""Face parsing by a network of the user's: which of eleven classes every pixel of a frame shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from ns_talking.data.face_classes import FaceClass
from ns_talking.utils.pretrained_network import load_network

_CONFIG, _WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")
_PREPROCESSOR = "preprocessor_config.json"
_SIZE = 512
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

CLASS_OF_LABEL = {
    "background": FaceClass.BACKGROUND,
    "skin": FaceClass.SKIN,
    "nose": FaceClass.NOSE,
    "eye_g": FaceClass.EYES,
    "l_eye": FaceClass.EYES,
    "r_eye": FaceClass.EYES,
    "l_brow": FaceClass.BROWS,
    "r_brow": FaceClass.BROWS,
    "l_ear": FaceClass.EARS,
    "r_ear": FaceClass.EARS,
    "ear_r": FaceClass.EARS,
    "mouth": FaceClass.INNER_MOUTH,
    "u_lip": FaceClass.LIPS,
    "l_lip": FaceClass.LIPS,
    "hair": FaceClass.HAIR,
    "hat": FaceClass.HAIR,
    "neck": FaceClass.NECK,
    "neck_l": FaceClass.NECK,
    "cloth": FaceClass.CLOTHES,
}
"""CelebAMask-HQ's names, which face parsers share. Glasses (eye_g) count as eyes, earrings (ear_r) as ears, a necklace
(neck_l) as neck and a hat as hair: SSP-NeRF's own table loses them to the background."""


class FaceParser:
    """A SegFormer for CelebAMask-HQ's labels, in the files of a repository of the Hugging Face hub.

    Source:
        SegFormer (Xie et al., NeurIPS 2021). `jonathandinu/face-parsing` is one; the data it learned from is for
        research alone, so it is neither part of this package nor downloaded by it.

    Args:
        folder: Holds config.json and model.safetensors or pytorch_model.bin.

    Raises:
        FileNotFoundError: When a file is missing.
        ValueError: When the network has labels that no face has, or its weights are not its own.
    """

    def __init__(self, folder: Path) -> None:
        self._config, self._weights = parser_files(folder)
        config = _read(self._config)
        self._class_of = _classes_of(config.get("id2label"), self._config)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        network = load_network(
            "SegformerForSemanticSegmentation",
            self._config,
            self._weights,
            "The face parser",
            "Get both files again from one revision of the repository.",
        )
        self._network: Any = network.to(self._device)  # Any: a class of transformers.
        mean, std = _normalisation(folder / _PREPROCESSOR)
        self._mean, self._std = (torch.tensor(values, device=self._device)[:, None, None] for values in (mean, std))

    @torch.inference_mode()
    def classes(self, image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width"]:
        """Tell the `FaceClass` of every pixel of an RGB frame."""
        height, width = image.shape[:2]
        small = cv2.resize(image, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
        pixels = torch.from_numpy(small).to(self._device).permute(2, 0, 1).float() / 255
        logits = self._network(pixel_values=((pixels - self._mean) / self._std)[None]).logits
        full = torch.nn.functional.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
        return self._class_of[full[0].argmax(dim=0).cpu().numpy()]


def parser_files(folder: Path) -> tuple[Path, Path]:
    """Find a face parser's configuration and weights.

    Raises:
        FileNotFoundError: Naming the file, and where to get it.
    """
    config = folder / _CONFIG
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if not config.is_file() or weights is None:
        missing = _CONFIG if not config.is_file() else " or ".join(_WEIGHTS)
        raise FileNotFoundError(
            f"{folder} holds no {missing}. Put the files of a face parser there, for example those of "
            "https://huggingface.co/jonathandinu/face-parsing, or leave --face-parser out: classes are then drawn from "
            "landmarks."
        )
    return config, weights


def _read(path: Path) -> dict[str, Any]:  # Any: JSON.
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON ({error}). Get the file again.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no configuration. Get the file again.")
    return content


def _classes_of(labels: Any, config: Path) -> UInt8[np.ndarray, " labels"]:  # Any: JSON.
    """Give the class of each of the network's labels.

    Raises:
        ValueError: When a label is unknown.
    """
    named = dict(labels) if isinstance(labels, dict) else {}
    unknown = sorted(str(name) for name in named.values() if name not in CLASS_OF_LABEL)
    if unknown or sorted(map(str, named)) != sorted(map(str, range(len(named)))) or not named:
        found = f"the label {unknown[0]!r}" if unknown else "no list of labels"
        raise ValueError(
            f"{config} has {found}, but a face parser knows these alone: {', '.join(CLASS_OF_LABEL)}. "
            "Choose another model for --face-parser."
        )
    return np.array([CLASS_OF_LABEL[named[str(index)]] for index in range(len(named))], dtype=np.uint8)


def _normalisation(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read the mean and the spread of the colours that the network learned from; ImageNet's where nothing is said."""
    if not path.is_file():
        return _MEAN, _STD
    found = _read(path)
    return tuple(found.get("image_mean", _MEAN)), tuple(found.get("image_std", _STD))
