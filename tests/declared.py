"""Methods as pyproject.toml declares them, whether or not the package was installed again since."""

from __future__ import annotations

import re
from pathlib import Path

_PYPROJECT = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
_TABLE = _PYPROJECT.partition('[project.entry-points."nerfstudio.method_configs"]')[2].partition("[")[0]
METHODS: dict[str, str] = dict(re.findall(r'^"?([^"\s]+)"? = "(\S+)"$', _TABLE, flags=re.MULTILINE))
"""Name of a method -> "module:attribute"."""
NERFSTUDIO_VARIABLE = {"NERFSTUDIO_METHOD_CONFIGS": ",".join(f"{name}={target}" for name, target in METHODS.items())}
"""What makes Nerfstudio's commands know them."""
