"""The literal commands, in processes of their own and from a folder of their own, on a tiny portrait."""

from __future__ import annotations

import json
import re
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from commands import ITERATIONS, run, training
from declared import METHODS
from portraits import write_tiny_portrait

from ns_talking.audio.io import read_audio, write_wav
from ns_talking.utils.video import read_frames, video_info


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of noise that swells."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    noise = np.random.default_rng(0).standard_normal(16_000) * np.linspace(0, 0.3, 16_000)
    write_wav(path, noise.astype(np.float32))
    return path


def test_the_config_says_which_audio_features_were_taken(trained: Path) -> None:
    assert "audio_features: mel\n" in trained.read_text()


def test_a_resumed_run_ends_at_the_iterations_asked_for_with_a_safe_checkpoint(trained: Path) -> None:
    checkpoints = list((trained.parent / "nerfstudio_models").iterdir())
    assert [path.name for path in checkpoints] == [f"step-{ITERATIONS - 1:09d}.ckpt"]
    state = torch.load(checkpoints[0], weights_only=True)
    assert state["step"] == ITERATIONS - 1


def test_render_writes_as_much_picture_as_there_is_sound_and_ns_render_the_same(
    trained: Path, speech: Path, tmp_path: Path
) -> None:
    loading = ["--load-config", trained, "--audio", speech]
    run("ns-talking", "render", *loading, "--output", "ours.mp4", cwd=tmp_path)
    with av.open(str(tmp_path / "ours.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 25
        assert video.streams.audio
    assert not list(tmp_path.glob("*.partial*"))
    printed = run("ns-talking", "camera-path", *loading, "--output", "path.json", cwd=tmp_path)
    command = ["camera-path", "--load-config", str(trained), "--camera-path-filename", "path.json"]
    assert f"ns-render {' '.join(command)} --output-path path.mp4" in printed
    run("ns-render", *command, "--output-path", "theirs.mp4", cwd=tmp_path, PATH="/usr/bin-without-ffmpeg")
    ours, theirs = (np.stack(list(read_frames(tmp_path / name))).astype(int) for name in ("ours.mp4", "theirs.mp4"))
    # Products of matrices may differ in the last bit from process to process, which the encoder carries on.
    assert np.abs(ours - theirs).max() <= 8
    assert np.abs(ours - theirs).mean() < 0.1 * np.abs(ours[1:] - theirs[:-1]).mean()
    np.testing.assert_allclose(read_audio(tmp_path / "theirs.mp4"), read_audio(tmp_path / "ours.mp4"))
    assert video_info(tmp_path / "theirs.mp4").fps == 25


def test_ns_eval_writes_finite_figures(trained: Path, tmp_path: Path) -> None:
    run("ns-eval", "--load-config", trained, "--output-path", "eval.json", cwd=tmp_path)
    results = json.loads((tmp_path / "eval.json").read_text())["results"]
    assert {"psnr", "ssim", "psnr_head", "psnr_over_real_torso"} <= set(results)
    assert all(np.isfinite(value) for value in results.values())


@pytest.mark.parametrize("method", [name for name in METHODS if name != "er-nerf"])
def test_every_other_method_trains_resumes_renders_and_is_evaluated(method: str, speech: Path, tmp_path: Path) -> None:
    people = [tmp_path / "tiny" / name for name in ("ada", "ben")] if method.endswith("-base") else [tmp_path / "tiny"]
    for person in people:
        write_tiny_portrait(person, num_frames=132, size=32)
    run("ns-train", *training(4, method=method), cwd=tmp_path)
    config = tmp_path / "out" / "tiny" / method / "run" / "config.yml"
    resumed = training(6, "--load-dir", config.parent / "nerfstudio_models", method=method)
    assert "Resuming at iteration 4, 2 to go" in run("ns-train", *resumed, cwd=tmp_path)
    loading = ["--load-config", config]
    run("ns-talking", "render", *loading, "--audio", speech, "--end", "0.2", "--output", "ours.mp4", cwd=tmp_path)
    assert len(list(read_frames(tmp_path / "ours.mp4"))) == 5
    run("ns-eval", *loading, "--output-path", "eval.json", cwd=tmp_path)
    results = json.loads((tmp_path / "eval.json").read_text())["results"]
    assert all(np.isfinite(value) for value in results.values())


def test_ns_render_spirals_and_interpolates_with_the_environments_sound_and_writes_the_clips_frames(
    trained: Path, speech: Path, tmp_path: Path
) -> None:
    loading = ["--load-config", trained]
    spiral = ["spiral", *loading, "--seconds", "1", "--output-path", "spiral.mp4"]
    run("ns-render", *spiral, cwd=tmp_path, NS_TALKING_AUDIO="speech.wav", status=1)
    run("ns-render", *spiral, cwd=speech.parent, NS_TALKING_AUDIO="speech.wav")
    assert video_info(speech.parent / "spiral.mp4").has_sound
    between = ["interpolate", *loading, "--interpolation-steps", "1", "--output-path", tmp_path / "between.mp4"]
    run("ns-render", *between, cwd=speech.parent, NS_TALKING_AUDIO="speech.wav")
    assert video_info(tmp_path / "between.mp4").has_sound
    run("ns-render", "dataset", *loading, "--rendered-output-names", "rgb", "--output-path", "frames", cwd=tmp_path)
    assert len(list((tmp_path / "frames/test/rgb").glob("*.jpg"))) == 12


def test_ns_export_writes_the_head_at_one_instant_and_says_when_there_is_no_head(trained: Path, tmp_path: Path) -> None:
    write_tiny_portrait(tmp_path / "tiny", num_frames=132, size=32)
    run("ns-train", *training(150), cwd=tmp_path)
    config = tmp_path / "out/tiny/er-nerf/run/config.yml"
    command = ["ns-export", "pointcloud", "--output-dir", "cloud", "--normal-method", "open3d", "--num-points", "2000"]
    command += ["--num-rays-per-batch", "1024", "--load-config"]
    printed = run(*command, config, cwd=tmp_path, NS_TALKING_MOMENT="2")
    assert "holds still as it is at 2.00 s of the clip" in printed
    header, _, content = (tmp_path / "cloud/point_cloud.ply").read_bytes().partition(b"end_header\n")
    assert int(re.search(rb"element vertex (\d+)", header)[1]) > 1500
    assert len(content) > 1500 * 3 * 4
    # A box beside the head leaves nothing, which Nerfstudio would look for as well.
    crop = ["--obb-center", "9", "9", "9", "--obb-rotation", "0", "0", "0", "--obb-scale", "1", "1", "1"]
    printed = run(*command, config, *crop, cwd=tmp_path, status=1)
    assert "points of the head lie in the box that --obb-center, --obb-rotation and --obb-scale describe" in printed
    # Nine iterations make no surface, and Nerfstudio would look for its points for ever.
    printed = run(*command, trained, cwd=tmp_path, status=1)
    assert "so there is no surface to take points from. Train longer" in printed


def test_a_dataset_that_moved_is_named_by_the_environment(trained: Path, tmp_path: Path) -> None:
    data = trained.parents[3].parent / "tiny"
    config = tmp_path / "config.yml"
    config.write_text(trained.read_text().replace("    - tiny\n", "    - gone\n"))
    evaluate = ["ns-eval", "--load-config", config, "--output-path", "eval.json"]
    printed = run(*evaluate, cwd=tmp_path, status=1)
    assert "gone. If it moved, name its new place: --data FOLDER where the command has it, NS_TALKING_DATA=" in printed
    run(*evaluate, cwd=tmp_path, NS_TALKING_DATA=str(data))
    assert (tmp_path / "eval.json").is_file()
