"""The dataparser of folders that AD-NeRF, RAD-NeRF, ER-NeRF or SyncTalk prepared: `ad-nerf`."""

from __future__ import annotations

from dataclasses import dataclass, field

from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from ns_talking.data.ad_nerf_format import read_ad_nerf
from ns_talking.data.format import Portrait, check
from ns_talking.dataparsers.base import BasePortraitDataParser, BasePortraitDataParserConfig


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
        return portrait


ad_nerf = DataParserSpecification(
    config=ADNeRFDataParserConfig(),
    description="A portrait that AD-NeRF, RAD-NeRF, ER-NeRF or SyncTalk prepared.",
)
