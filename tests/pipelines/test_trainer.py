"""What `ns-train` says of what a user can mend, and what an interrupted training leaves."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ITERATIONS, command_environment, run, script_path, training
from portraits import write_tiny_portrait


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trainer")
    write_tiny_portrait(folder / "tiny", num_frames=132, size=32)
    return folder


def refused(folder: Path, *arguments: object) -> str:
    """Run `ns-train` and give the one line that it ends with."""
    printed = run("ns-train", *arguments, cwd=folder, status=1)
    assert "Traceback" not in printed
    assert "NS_TALKING_DEBUG=1" in printed
    assert not (folder / "out").exists(), "what fails at once leaves no folder behind"
    return re.sub(r"\s+", " ", printed)


def test_a_dataset_that_is_not_there_is_one_line(folder: Path) -> None:
    printed = refused(folder, "er-nerf", "--data", "nowhere", "--output-dir", "out")
    assert f"Error: There is no dataset folder {folder / 'nowhere'}." in printed


def test_a_folder_that_is_no_dataset_is_one_line(folder: Path, tmp_path: Path) -> None:
    assert "Error: " in refused(folder, "er-nerf", "--data", tmp_path, "--output-dir", "out")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--load-dir", "nowhere"], r"no checkpoint step-\*.ckpt in .*nowhere. It holds none. Name the folder"),
        (["--load-dir", "kept", "--load-step", "9"], r"of step 9 in .*kept. It holds step-000000003.ckpt."),
        (["--load-dir", "."], r"It holds none. Did you mean --load-dir .*kept\?"),
        (["--load-checkpoint", "nowhere.ckpt"], r"There is no checkpoint .*nowhere.ckpt"),
    ],
)
def test_a_checkpoint_that_is_not_there_is_one_line(folder: Path, options: list[str], expected: str) -> None:
    (folder / "kept").mkdir(exist_ok=True)
    (folder / "kept/step-000000003.ckpt").touch()
    assert re.search(expected, refused(folder, *training(3, *options)))


def test_debugging_shows_the_traceback(folder: Path) -> None:
    printed = run("ns-train", "er-nerf", "--data", "nowhere", cwd=folder, status=1, NS_TALKING_DEBUG="1")
    assert "Traceback" in printed


def test_a_checkpoint_of_other_options_is_refused(trained: Path) -> None:
    checkpoints = trained.parent / "nerfstudio_models"
    more = ["--load-dir", checkpoints, "--timestamp", "other", "--pipeline.model.head.hidden-dim", 32]
    printed = run("ns-train", *training(2 * ITERATIONS, *more), cwd=trained.parents[4], status=1)
    assert "The checkpoint does not fit: size mismatch for" in printed
    assert "or with other options" in printed
    assert "Traceback" not in printed
    shutil.rmtree(trained.parents[1] / "other")


def test_a_loss_that_is_no_number_ends_the_command_and_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    write_tiny_portrait(tmp_path / "tiny", num_frames=132, size=32)
    run("ns-train", *training(3), cwd=tmp_path)
    checkpoints = tmp_path / "out/tiny/er-nerf/run/nerfstudio_models"
    good = checkpoints / "step-000000002.ckpt"
    state = torch.load(good, weights_only=True)
    # Still a number, but no loss that comes of it is one.
    state["pipeline"]["_model.head.planes"] += 1e30
    torch.save(state, good)
    before = good.read_bytes()
    printed = run("ns-train", *training(9, "--load-dir", checkpoints), cwd=tmp_path, status=1)
    said = re.sub(r"\s+", " ", printed)
    assert re.search(r"Training stopped at iteration 3: the loss '\w+' is no longer a number", said), said[-2000:]
    assert "The last good checkpoint is kept" in said and good.name in said and "Traceback" not in said
    assert list(checkpoints.iterdir()) == [good] and good.read_bytes() == before


def test_audio_features_that_are_no_numbers_are_refused_before_the_first_iteration(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "tiny", tmp_path / "tiny")
    (path,) = (tmp_path / "tiny/features").glob("*.npy")
    values = np.load(path)
    values[-1] = np.nan
    np.save(path, values)
    printed = run("ns-train", *training(3), cwd=tmp_path, status=1)
    said = re.sub(r"\s+", " ", printed)
    assert "Traceback" not in printed
    assert f"{path.name} hold NaN or infinity" in said and "Extract them again" in said


def test_ctrl_c_keeps_what_is_trained_and_says_how_to_go_on(folder: Path) -> None:
    shutil.rmtree(folder / "out", ignore_errors=True)
    command = [script_path("ns-train"), *training(100_000)]
    with subprocess.Popen(
        command, cwd=folder, env=command_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        # A shell starts what runs in the background deaf to Ctrl-C, and pytest may run there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if re.match(r"^\s*\d+ \(\d", line):
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        printed = re.sub(r"\s+", " ", process.stdout.read())
    assert process.returncode == 130, "".join(lines[-20:]) + printed
    found = re.search(r"Training stopped after iteration (\d+). What is trained is kept in (\S+).ckpt", printed)
    assert found, printed
    assert "Traceback" not in printed
    step = int(found[1]) - 1
    checkpoint = folder / f"out/tiny/er-nerf/run/nerfstudio_models/step-{step:09d}.ckpt"
    assert checkpoint.is_file()
    resumed = run("ns-train", *training(step + 3, "--load-dir", checkpoint.parent), cwd=folder)
    assert f"Resuming at iteration {step + 1}, 2 to go" in resumed
