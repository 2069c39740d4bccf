"""Laws of reading head poses from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.data.ad_nerf_format import to_their_world
from ns_talking.data.pose_source import read_head_poses


@pytest.fixture
def poses(tmp_path: Path) -> np.ndarray:
    return np.load(write_tiny_portrait(tmp_path / "tiny", num_frames=9, size=32) / "head_poses.npy")


def test_every_kind_of_file_gives_the_same_cameras(tmp_path: Path, poses: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", poses[:, :3])
    camera_path = {"camera_path": [{"camera_to_world": pose.reshape(-1).tolist()} for pose in poses]}
    (tmp_path / "b.json").write_text(json.dumps(camera_path))
    theirs = [{"img_id": k, "transform_matrix": pose.tolist()} for k, pose in enumerate(to_their_world(poses))]
    (tmp_path / "c.json").write_text(json.dumps({"frames": theirs}))
    for place in ("a.npy", "b.json", "c.json", "tiny", "tiny/transforms.json"):
        np.testing.assert_allclose(read_head_poses(tmp_path / place), poses, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{}", "cannot be read as head poses"),
        ("a.json", "nonsense", "cannot be read as head poses"),
        ("a.json", '{"frames": []}', r"finite numbers, found shape \(0,\)"),
        ("a.json", '{"frames": [{"transform_matrix": [[1, 0], [0, 1]]}]}', r"found shape \(1, 2, 2\)"),
    ],
)
def test_what_holds_no_cameras_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_head_poses(tmp_path / name)


def test_matrices_that_stretch_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", 2 * np.tile(np.eye(4), (3, 1, 1)))
    with pytest.raises(ValueError, match="no rotations"):
        read_head_poses(tmp_path / "a.npy")
