"""Our rays are Nerfstudio's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nerfstudio.model_components.ray_generators import RayGenerator
from portraits import write_tiny_portrait

from ns_talking.data.cameras import portrait_cameras, resize_cameras
from ns_talking.data.format import read_portrait
from ns_talking.data.rays import PinholeRays


@pytest.mark.parametrize(("width", "height"), [(64, 64), (17, 24)])
def test_rays_equal_nerfstudios_ray_generator(tmp_path: Path, width: int, height: int) -> None:
    portrait = read_portrait(write_tiny_portrait(tmp_path, num_frames=5, num_train=4))
    cameras = portrait_cameras(portrait, [0, 2, 4])
    resize_cameras(cameras, width, height)
    generator = torch.Generator().manual_seed(0)
    limits = torch.tensor([3, height, width])
    indices = (torch.rand(500, 3, generator=generator) * limits).long()
    ours = PinholeRays(cameras, "cpu")(indices)
    theirs = RayGenerator(cameras)(indices)
    for name in ("origins", "directions", "times"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.pixel_area, theirs.pixel_area, atol=0, rtol=1e-3)
    assert torch.equal(ours.camera_indices, theirs.camera_indices)
    assert ours.metadata.keys() == theirs.metadata.keys()
    torch.testing.assert_close(ours.metadata["directions_norm"], theirs.metadata["directions_norm"])
    assert torch.equal(ours.metadata["frame_index"], theirs.metadata["frame_index"])


def test_resized_cameras_keep_the_principal_point_in_the_middle_and_the_field_of_view(tmp_path: Path) -> None:
    portrait = read_portrait(write_tiny_portrait(tmp_path, num_frames=3, num_train=2))
    cameras = portrait_cameras(portrait, [0, 1])
    view = cameras.cx / cameras.fx
    resize_cameras(cameras, 37, 23)
    assert (cameras.width == 37).all()
    assert (cameras.height == 23).all()
    torch.testing.assert_close(cameras.cx, torch.full_like(cameras.cx, 18.5))
    torch.testing.assert_close(cameras.cy, torch.full_like(cameras.cy, 11.5))
    torch.testing.assert_close(cameras.cx / cameras.fx, view)
