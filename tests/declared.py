"""Methods and dataparsers as pyproject.toml declares them, whether or not the package was installed again since."""

from __future__ import annotations

import re
from pathlib import Path

_PYPROJECT = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")


def _declared(group: str) -> dict[str, str]:
    table = _PYPROJECT.partition(f'[project.entry-points."nerfstudio.{group}"]')[2].partition("[")[0]
    return dict(re.findall(r'^"?([^"\s]+)"? = "(\S+)"$', table, flags=re.MULTILINE))


METHODS: dict[str, str] = _declared("method_configs")
"""Name of a method -> "module:attribute"."""
DATAPARSERS: dict[str, str] = _declared("dataparser_configs")
"""Name of a dataparser -> "module:attribute"."""
NERFSTUDIO_VARIABLE = {
    f"NERFSTUDIO_{kind}_CONFIGS": ",".join(f"{name}={target}" for name, target in declared.items())
    for kind, declared in (("METHOD", METHODS), ("DATAPARSER", DATAPARSERS))
}
"""What makes Nerfstudio's commands know them."""
