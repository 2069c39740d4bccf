"""The dataparser of folders that AD-NeRF, RAD-NeRF, ER-NeRF or SyncTalk prepared: `ad-nerf`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from ns_talking.data.ad_nerf_format import read_ad_nerf
from ns_talking.data.format import FEATURES as FEATURES_FOLDER
from ns_talking.data.format import Portrait, check
from ns_talking.dataparsers.base import BasePortraitDataParser, BasePortraitDataParserConfig
from ns_talking.driving.features import FEATURES, extract_features


@dataclass
class ADNeRFDataParserConfig(BasePortraitDataParserConfig):
    """A folder with transforms_train.json, ori_imgs or gt_imgs, parsing, bc.jpg and audio features."""

    _target: type = field(default_factory=lambda: ADNeRFDataParser)


@dataclass
class ADNeRFDataParser(BasePortraitDataParser):
    """Reads a folder of the AD-NeRF family as it is."""

    config: ADNeRFDataParserConfig

    def read(self) -> Portrait:
        """Read the dataset; images stay on disk."""
        portrait = read_ad_nerf(self.config.data)
        check(portrait)
        name = self.config.features or "mel"
        if name in FEATURES and name not in portrait.feature_files and portrait.audio is not None:
            return self._with_features(portrait, name, portrait.audio)
        return portrait

    @staticmethod
    def _with_features(portrait: Portrait, name: str, audio: Path) -> Portrait:
        """Extract features that their tools do not know, and keep them in the folder for the next time."""
        path = portrait.folder / FEATURES_FOLDER / f"{name}.npy"
        try:
            extract_features(name, audio, path)
        except PermissionError as error:
            raise PermissionError(
                f"{portrait.folder} holds no {name!r} audio features, and they cannot be written to {path} ({error}). "
                "Make the folder writable, or copy it."
            ) from error
        return replace(portrait, feature_files={**portrait.feature_files, name: path})


ad_nerf = DataParserSpecification(
    config=ADNeRFDataParserConfig(),
    description="A portrait that AD-NeRF, RAD-NeRF, ER-NeRF or SyncTalk prepared.",
)
