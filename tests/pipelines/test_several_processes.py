"""Processes that train together, one per GPU in earnest, come to one portrait."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from commands import command_environment
from portraits import write_tiny_portrait

SCRIPT = Path(__file__).parents[1] / "two_processes.py"


def together(folder: Path, *arguments: object) -> list[dict]:
    """Run both processes, and give what each came to; they find each other by a file."""
    address = f"file://{folder / 'meeting'}"
    # Elsewhere the name of the machine has to lead to it, which a container's need not.
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), address, *map(str, arguments)],
            cwd=folder,
            env=command_environment() | loopback,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        printed = [process.communicate(timeout=250)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, printed, strict=True):
        assert process.returncode == 0, text[-5000:]
    return [json.loads(text.splitlines()[-1]) for text in printed]


def test_both_end_with_the_same_parameters_by_different_rays(tmp_path: Path) -> None:
    write_tiny_portrait(tmp_path / "tiny", num_frames=132, size=32)
    first, second = together(tmp_path, "train", "er-nerf", 12)
    assert first["before"] == second["before"]
    assert first["after"] == second["after"] != first["before"]
    assert len(first["losses"]) == 12
    # In the head's phase the torso learns as well, in a second pass.
    assert all(one != other for one, other in zip(first["losses"], second["losses"], strict=True))
    checkpoints = list((tmp_path / "out/tiny/er-nerf/run/nerfstudio_models").iterdir())
    assert [path.name for path in checkpoints] == ["step-000000011.ckpt"]


def test_a_gradient_is_the_mean_over_processes_and_none_where_nobody_has_one(tmp_path: Path) -> None:
    for found in together(tmp_path, "average"):
        assert found == {"both": [1.5, 2.5], "one": [2.0, 3.0], "none": None}
