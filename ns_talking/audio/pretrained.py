"""Published speech models: where their files come from, which revision, and loading them without a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ns_talking.utils.model_files import ModelFile, Progress, find_file, installed_file
from ns_talking.utils.pretrained_network import load_network

_CONFIG = "config.json"


@dataclass(frozen=True)
class PretrainedModel:
    """A model of the Hugging Face hub, pinned to one revision and one file of weights."""

    repository: str
    """Owner and name on the hub; the name is also that of its folder among the model files."""
    revision: str
    """Commit of the repository."""
    weights: str
    """File of the weights: model.safetensors or pytorch_model.bin."""
    sha256: str
    """SHA-256 of the weights."""
    num_bytes: int | None
    """Size of the weights; None where it was never measured."""
    architecture: str
    """Class of transformers that runs it."""
    channels: int
    """Width of its last layer."""
    licence: str = "Apache-2.0"
    """SPDX identifier."""
    url: str = "https://huggingface.co"
    """The hub."""

    @property
    def identity(self) -> str:
        """Name, revision and hash in one line."""
        return f"{self.repository}@{self.revision[:12]} sha256={self.sha256[:16]}"

    @property
    def files(self) -> tuple[ModelFile, ModelFile]:
        """The configuration and the weights. The commit in its address pins the configuration."""
        folder = self.repository.split("/")[-1]
        address = f"{self.url}/{self.repository}/resolve/{self.revision}"
        purpose = f"speech model {self.repository}"
        return (
            ModelFile(f"{folder}/{_CONFIG}", purpose, f"{address}/{_CONFIG}", None, None, self.licence),
            ModelFile(
                f"{folder}/{self.weights}",
                purpose,
                f"{address}/{self.weights}",
                self.sha256,
                self.num_bytes,
                self.licence,
            ),
        )

    def installed(self, models: Path | None = None) -> bool:
        """Tell whether the model can be had without a download.

        Args:
            models: Folder of the user's choice, searched first.
        """
        return all(installed_file(file, models) is not None for file in self.files)

    def find(self, models: Path | None = None, progress: Progress | None = None) -> tuple[Path, Path]:
        """Find configuration and weights, or download them.

        Args:
            models: Folder of the user's choice, searched first.
            progress: Shows the download.

        Raises:
            FileNotFoundError: When they are nowhere and cannot be downloaded; the message says where to put them.
            ValueError: When a file is not the pinned one.
        """
        config, weights = (find_file(file, models, progress) for file in self.files)
        return config, weights

    def load(self, models: Path | None = None, progress: Progress | None = None) -> Any:  # Any: a class chosen by name.
        """Load the model in single precision, ready for inference, from files alone.

        Args:
            models: Folder of the user's choice, searched first.
            progress: Shows the download.

        Raises:
            ValueError: When the weights do not fill the architecture, which would leave random numbers in it.
        """
        config, weights = self.find(models, progress)
        return load_network(
            self.architecture,
            config,
            weights,
            "The speech model",
            f"Delete both files and get them again from {self.files[1].url}",
        )
