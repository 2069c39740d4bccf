"""Head poses from elsewhere: a file of cameras, or another dataset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ns_talking.data.ad_nerf_format import TRAIN_TRANSFORMS, read_ad_nerf, to_our_world
from ns_talking.data.format import read_portrait
from ns_talking.utils.arrays import read_array


def read_head_poses(path: Path) -> Float[np.ndarray, "frames 4 4"]:
    """Read one camera per frame, camera-to-world in our world, OpenGL axes.

    Args:
        path: A dataset of ours or of the AD-NeRF family; an array [frames, 3 or 4, 4] (.npy); or JSON: Nerfstudio's
            camera path, a transforms.json of ours, or one of AD-NeRF's.

    Raises:
        FileNotFoundError: When there is nothing of that name.
        ValueError: When it holds no cameras.
    """
    if path.is_dir():
        portrait = read_ad_nerf(path) if (path / TRAIN_TRANSFORMS).is_file() else read_portrait(path)
        return portrait.head_poses.astype(np.float64)
    if not path.is_file():
        raise FileNotFoundError(
            f"--pose {path} is neither track nor still, and no file or dataset of that name exists. Name a dataset, a "
            ".npy file [frames, 4, 4] or a .json file with cameras."
        )
    try:
        poses = read_array(path) if path.suffix == ".npy" else _from_json(path)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{path} cannot be read as head poses ({error}). Give an array [frames, 4, 4] as .npy, or JSON with "
            "`camera_path` or `frames`."
        ) from error
    if poses.ndim != 3 or poses.shape[1:] not in ((3, 4), (4, 4)) or not len(poses) or not np.isfinite(poses).all():
        raise ValueError(f"{path} should hold head poses [frames, 4, 4] of finite numbers, found shape {poses.shape}.")
    whole = np.tile(np.eye(4), (len(poses), 1, 1))
    whole[:, :3] = poses[:, :3]
    rotation = whole[:, :3, :3]
    if np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max() > 1e-2:
        raise ValueError(f"{path} holds matrices that are no rotations with a place. Give camera-to-world matrices.")
    return whole


def _from_json(path: Path) -> np.ndarray:
    content = json.loads(path.read_text(encoding="utf-8"))
    if "camera_path" in content:
        return np.array([camera["camera_to_world"] for camera in content["camera_path"]], float).reshape(-1, 4, 4)
    frames = content["frames"]
    poses = np.array([frame["transform_matrix"] for frame in frames], dtype=float)
    # AD-NeRF's frames have an image number, and a world of their own.
    return to_our_world(poses) if frames and "img_id" in frames[0] else poses
