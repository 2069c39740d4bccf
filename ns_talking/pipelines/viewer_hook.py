"""What Nerfstudio's `ns-viewer` should do for a portrait unless it is asked otherwise.

`ns-viewer` takes nothing of the training's own viewer settings. Its defaults open the page to the whole network, and
send the depth of every picture, which nothing on a portrait's page is hidden behind.

Remove when: `ns-viewer` starts from the settings of config.yml.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nerfstudio.configs.base_config import ViewerConfig

from ns_talking.utils.progress import CONSOLE

_MODULE = "nerfstudio.scripts.viewer.run_viewer"
_CLASS = "ViewerConfigWithoutNumRays"
_CONVERSION = "as_viewer_config"
_INSTALLED = "_ns_talking_installed"
DEFAULTS: dict[str, Any] = {  # Any: host and switches.
    "websocket_host": "127.0.0.1",
    "default_composite_depth": False,
    "max_num_display_images": 8,
}
"""Options of a viewer that a portrait's differ from Nerfstudio's in."""


def portrait_viewer() -> ViewerConfig:
    """Give the viewer settings of a training."""
    return ViewerConfig(num_rays_per_chunk=1 << 15, **DEFAULTS)


def install() -> None:
    """Let `ns-viewer` take a portrait's defaults where that is the running command; else do nothing."""
    for name in (_MODULE, "__main__"):
        kind = getattr(sys.modules.get(name), _CLASS, None)
        if kind is None or hasattr(kind, _INSTALLED) or not hasattr(kind, _CONVERSION):
            continue
        setattr(kind, _CONVERSION, _with_defaults(getattr(kind, _CONVERSION)))
        setattr(kind, _INSTALLED, True)


def asked(option: str, arguments: Sequence[str]) -> bool:
    """Tell whether a command line names an option of the viewer."""
    words = {word.split("=", 1)[0].replace("_", "-") for word in arguments}
    return f"--viewer.{option.replace('_', '-')}" in words


def _with_defaults(convert: Any) -> Any:  # Any: a method of Nerfstudio's.
    @functools.wraps(convert)
    def converted(self: object) -> ViewerConfig:
        ours = {name: value for name, value in DEFAULTS.items() if not asked(name, sys.argv[1:])}
        config = replace(convert(self), **ours)
        if config.websocket_host == DEFAULTS["websocket_host"]:
            CONSOLE.print(
                "The viewer listens to this machine alone; --viewer.websocket-host 0.0.0.0 opens it to the network."
            )
        return config

    return converted
