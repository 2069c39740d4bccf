from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ns_talking.process.runner import run_steps
from ns_talking.process.step import ProcessSettings, Progress, Workspace

TRACKING = ("frames", "soundtrack", "landmarks", "head_pose")


def track(shared: Path, clip: str, folder: Path, progress: Progress, **settings: float) -> tuple[Workspace, dict]:
    options = ProcessSettings(models=shared / "models", **settings)
    workspace = Workspace(folder / "dataset", shared / "clips" / clip, options)
    run_steps(workspace, progress, names=TRACKING)
    steps = json.loads(workspace.manifest.read_text())["steps"]
    return workspace, {name: entry["figures"] for name, entry in steps.items()}


def test_two_seconds_of_a_real_head_are_tracked(shared: Path, tmp_path: Path, quiet: Progress) -> None:
    workspace, figures = track(shared, "longhair_8s.mp4", tmp_path, quiet, max_seconds=2.0)
    assert figures["landmarks"]["usable_frames"] == 50
    assert figures["head_pose"]["reprojection_median_px"] < 1.1
    assert np.load(workspace.landmarks).shape == (50, 478, 3)
    assert np.load(workspace.work("blendshapes.npy")).shape == (50, 52)
    poses = np.load(workspace.head_poses)
    assert 2.5 < np.linalg.norm(poses[:, :3, 3], axis=1).mean() < 4.5
    again = run_steps(workspace, quiet, names=TRACKING)
    assert again.nothing_done


@pytest.mark.slow
def test_every_frame_of_a_real_clip_is_tracked_to_half_a_pixel(shared: Path, tmp_path: Path, quiet: Progress) -> None:
    _, figures = track(shared, "broadcast_71s.mp4", tmp_path, quiet)
    assert figures["head_pose"]["tracked_frames"] == 1779
    assert figures["head_pose"]["reprojection_median_px"] <= 0.5
    # The programme was edited at these frames, as one can see.
    assert figures["landmarks"]["edits"] == [176, 702, 953, 1429]
