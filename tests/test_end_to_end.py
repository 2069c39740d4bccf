"""The literal commands, in processes of their own, on a tiny portrait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from portraits import write_tiny_portrait

from ns_talking.audio.io import write_wav

ITERATIONS = 9


def run(script: str, *arguments: str, cwd: Path) -> str:
    environment = os.environ | {"COLUMNS": "200", "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), environment.get("PYTHONPATH", "")])
    command = [str(Path(sys.executable).parent / script), *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def train(folder: Path, iterations: int, *more: str) -> str:
    return run(
        "ns-train", "er-nerf", "--data", str(folder / "tiny"), "--output-dir", str(folder / "out"),
        "--timestamp", "run", "--vis", "tensorboard", "--max-num-iterations", str(iterations),
        "--pipeline.datamanager.train-num-rays-per-batch", "64",
        "--pipeline.datamanager.torso-num-rays-per-batch", "64",
        "--pipeline.model.audio-code.lip-shape.num-networks", "0", *more, cwd=folder,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset and a portrait that was trained on it in two goes."""
    folder = tmp_path_factory.mktemp("end_to_end")
    write_tiny_portrait(folder / "tiny", num_frames=132, size=32)
    train(folder, ITERATIONS // 2)
    checkpoints = folder / "out/tiny/er-nerf/run/nerfstudio_models"
    assert [path.name for path in checkpoints.iterdir()] == [f"step-{ITERATIONS // 2 - 1:09d}.ckpt"]
    printed = train(folder, ITERATIONS, "--load-dir", str(checkpoints))
    assert f"Resuming at iteration {ITERATIONS // 2}" in printed
    return folder


def config(folder: Path) -> str:
    return str(folder / "out/tiny/er-nerf/run/config.yml")


def test_a_resumed_run_ends_at_the_iterations_asked_for_with_a_safe_checkpoint(folder: Path) -> None:
    checkpoints = list((folder / "out/tiny/er-nerf/run/nerfstudio_models").iterdir())
    assert [path.name for path in checkpoints] == [f"step-{ITERATIONS - 1:09d}.ckpt"]
    state = torch.load(checkpoints[0], weights_only=True)
    assert state["step"] == ITERATIONS - 1


def test_render_writes_as_much_picture_as_there_is_sound(folder: Path) -> None:
    sound = folder / "speech.wav"
    write_wav(sound, 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32))
    run(
        "ns-talking", "render", "--load-config", config(folder), "--audio", str(sound),
        "--output", str(folder / "out.mp4"), cwd=folder.parent,
    )  # fmt: skip
    with av.open(str(folder / "out.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 25
        assert video.streams.audio
    assert not list(folder.glob("*.partial*"))


def test_ns_eval_writes_finite_figures(folder: Path) -> None:
    run("ns-eval", "--load-config", config(folder), "--output-path", str(folder / "eval.json"), cwd=folder)
    results = json.loads((folder / "eval.json").read_text())["results"]
    assert {"psnr", "ssim", "psnr_head", "psnr_over_real_torso"} <= set(results)
    assert all(np.isfinite(value) for value in results.values())
