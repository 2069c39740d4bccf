"""Real commands in processes of their own, and a portrait that they trained."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from declared import NERFSTUDIO_VARIABLE
from portraits import write_tiny_portrait

ITERATIONS = 9
_HERE = Path(__file__).parent


def command_environment() -> dict[str, str]:
    """What commands run under: this checkout first, wide output, no warnings of dependencies."""
    environment = os.environ | {"COLUMNS": "200", "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    environment |= NERFSTUDIO_VARIABLE
    environment["PYTHONPATH"] = os.pathsep.join([str(_HERE.parent), environment.get("PYTHONPATH", "")])
    return environment


def script_path(script: str) -> str:
    """Find a command of this environment."""
    return str(Path(sys.executable).parent / script)


def run(script: str, *arguments: object, cwd: Path, status: int = 0, **variables: str) -> str:
    """Run a command in a fork that has Nerfstudio imported already, and give what it printed on both channels."""
    found, printed = attempt(script, *arguments, cwd=cwd, **variables)
    assert found == status, f"{script} {' '.join(map(str, arguments))}\n{printed[-6000:]}"
    return printed


def attempt(
    script: str, *arguments: object, cwd: Path, kill_after_s: float | None = None, **variables: str
) -> tuple[int, str]:
    """Do the same, and give the exit status too, -9 for a command that was killed."""
    server = _server()
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        request = {
            "script": script,
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd),
            "variables": variables,
            "output": log.name,
            "kill_after_s": kill_after_s,
        }
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        printed = Path(log.name).read_text()
    return int(answer), printed


@functools.cache
def _server() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(_HERE / "command_server.py")],
        env=command_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def training(iterations: int, *more: object, method: str = "er-nerf") -> list[str]:
    """Arguments that train the tiny portrait, naming data and outputs relative to its folder, as users do."""
    return [
        method, "--data", "tiny", "--output-dir", "out",
        "--timestamp", "run", "--vis", "tensorboard", "--max-num-iterations", str(iterations),
        "--pipeline.datamanager.train-num-rays-per-batch", "64",
        "--pipeline.datamanager.torso-num-rays-per-batch", "64",
        "--pipeline.model.audio-code.lip-shape.num-networks", "0", *map(str, more),
    ]  # fmt: skip


def trained_portrait(folder: Path) -> Path:
    """Train a portrait in two goes, the first by the literal `ns-train`, and give its config.yml."""
    write_tiny_portrait(folder / "tiny", num_frames=132, size=32)
    command = [script_path("ns-train"), *training(ITERATIONS // 2)]
    done = subprocess.run(
        command, cwd=folder, env=command_environment(), capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    checkpoints = folder / "out/tiny/er-nerf/run/nerfstudio_models"
    assert [path.name for path in checkpoints.iterdir()] == [f"step-{ITERATIONS // 2 - 1:09d}.ckpt"]
    printed = run("ns-train", *training(ITERATIONS, "--load-dir", checkpoints), cwd=folder)
    assert f"Resuming at iteration {ITERATIONS // 2}" in printed
    return checkpoints.parent / "config.yml"
