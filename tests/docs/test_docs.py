"""What the documentation shows is there, and the notebook runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import command_environment

DOCS = Path(__file__).parents[2] / "docs"


def code_cells() -> str:
    cells = json.loads((DOCS / "talking_portrait.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return code.replace("%pip install", "pass  #")


def test_the_notebook_is_stored_without_outputs_and_compiles() -> None:
    cells = json.loads((DOCS / "talking_portrait.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    compile(code_cells(), "talking_portrait.ipynb", "exec")


def test_the_methods_offered_upstream_are_registered_here() -> None:
    import nerfstudio.configs.external_methods as upstream

    before = list(upstream.external_methods)
    try:
        exec((DOCS / "nerfstudio_external_methods.py").read_text(), {})
        (added,) = upstream.external_methods[len(before) :]
    finally:
        upstream.external_methods[:] = before
    project = (DOCS.parent / "pyproject.toml").read_text()
    for name, _ in added.configurations:
        assert f'\n{name} = "ns_talking.methods.' in project
    assert added.pip_package == "ns-talking"


@pytest.mark.slow
def test_the_notebook_runs_without_a_gpu(tmp_path: Path) -> None:
    code = code_cells().replace("= 16, 900, 128", "= 5, 12, 48")
    assert "= 5, 12, 48" in code
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=command_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "talking/speech.mp4").is_file()
    assert json.loads((tmp_path / "talking/eval.json").read_text())["results"]["psnr"] > 0
