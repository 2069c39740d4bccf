"""The dataparser of a folder of portraits, one folder per person: `identities`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from ns_talking.data.ad_nerf_format import TRAIN_TRANSFORMS
from ns_talking.data.format import TRANSFORMS, Portrait
from ns_talking.dataparsers.ad_nerf import ADNeRFDataParserConfig
from ns_talking.dataparsers.base import BasePortraitDataParser, BasePortraitDataParserConfig
from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig


@dataclass
class IdentitiesDataParserConfig(BasePortraitDataParserConfig):
    """A folder whose subfolders are datasets of ns-talking, or of the AD-NeRF family, one person each.

    The dataset may also lie in a folder `data` of the subfolder, where `ns-talking demo` puts it.
    """

    _target: type = field(default_factory=lambda: IdentitiesDataParser)
    shown: str | None = None
    """Name of the subfolder of the person whom the trained model shows; None takes the first in alphabetical order."""
    left_out: tuple[str, ...] = ()
    """Subfolders that are not trained on: people to test on."""


@dataclass
class IdentitiesDataParser(BasePortraitDataParser):
    """Reads the person who is shown, and on request all others, each with cameras and lens of its own."""

    config: IdentitiesDataParserConfig

    def read(self) -> Portrait:
        """Read the dataset of the person who is shown; images stay on disk."""
        return self._parser(self._datasets()[0]).read()

    def others(self) -> list[DataparserOutputs]:
        """Read the training frames of everyone else."""
        return [self._parser(folder).get_dataparser_outputs(split="train") for folder in self._datasets()[1:]]

    def _parser(self, folder: Path) -> BasePortraitDataParser:
        kind = ADNeRFDataParserConfig if _is_of_ad_nerf(folder) else TalkingPortraitDataParserConfig
        own = {"_target", "shown", "left_out"}
        shared = {name: value for name, value in vars(self.config).items() if name not in own}
        parser = replace(kind(), **(shared | {"data": folder})).setup()
        parser.downscale_factor = self.downscale_factor
        return parser

    def _datasets(self) -> list[Path]:
        """List the datasets, the shown person's first.

        Raises:
            ValueError: When there are none, or none of a name that was asked for.
        """
        folder = self.config.data
        found = {path.name: dataset for path in sorted(folder.iterdir()) if (dataset := _dataset_in(path)) is not None}
        asked = [*self.config.left_out, *([self.config.shown] if self.config.shown else [])]
        unknown = [name for name in asked if name not in found]
        if unknown:
            raise ValueError(f"{folder} holds no dataset {unknown[0]!r}, it holds: {', '.join(found) or 'none'}.")
        names = [name for name in found if name not in self.config.left_out]
        if not names:
            hint = " It is a dataset itself: leave out `identities`." if _is_dataset(folder) else ""
            raise ValueError(
                f"{folder} holds no subfolder with a dataset to train on.{hint} Make one per person: ns-talking "
                f"process VIDEO --output {folder / 'NAME'}"
            )
        shown = self.config.shown or names[0]
        if shown in self.config.left_out:
            raise ValueError(f"{shown!r} cannot be shown and left out. Name another person with --shown.")
        return [found[name] for name in sorted(names, key=lambda name: (name != shown, name))]


def _dataset_in(folder: Path) -> Path | None:
    return next((path for path in (folder, folder / "data") if _is_dataset(path)), None)


def _is_dataset(folder: Path) -> bool:
    return (folder / TRANSFORMS).is_file() or _is_of_ad_nerf(folder)


def _is_of_ad_nerf(folder: Path) -> bool:
    return (folder / TRAIN_TRANSFORMS).is_file()


identities = DataParserSpecification(
    config=IdentitiesDataParserConfig(),
    description="Several people, a dataset each, as one training set.",
)
