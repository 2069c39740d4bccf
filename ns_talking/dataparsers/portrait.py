"""The dataparser of our own datasets: `talking-portrait`."""

from __future__ import annotations

from dataclasses import dataclass, field

from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from ns_talking.data.format import Portrait, read_portrait
from ns_talking.dataparsers.base import BasePortraitDataParser, BasePortraitDataParserConfig


@dataclass
class TalkingPortraitDataParserConfig(BasePortraitDataParserConfig):
    """A folder that `ns-talking process` or `ns-talking demo` wrote."""

    _target: type = field(default_factory=lambda: TalkingPortraitDataParser)


@dataclass
class TalkingPortraitDataParser(BasePortraitDataParser):
    """Reads a folder in the format of `ns_talking.data.format`."""

    config: TalkingPortraitDataParserConfig

    def read(self) -> Portrait:
        """Read the dataset; images stay on disk."""
        return read_portrait(self.config.data)


talking_portrait = DataParserSpecification(
    config=TalkingPortraitDataParserConfig(),
    description="A portrait that `ns-talking process` made from a video.",
)
