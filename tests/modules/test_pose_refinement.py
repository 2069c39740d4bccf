"""Refined poses: nothing before training, and what was planted once trained."""

from __future__ import annotations

import math

import torch

from ns_talking.modules.pose_refinement import PoseRefinement, PoseRefinementConfig


def refinement(num_frames: int = 3) -> PoseRefinement:
    return PoseRefinementConfig(mode="SO3xR3").setup(num_frames=num_frames, device="cpu")


def test_fresh_poses_are_the_tracked_ones() -> None:
    origins, directions = torch.randn(4, 3), torch.nn.functional.normalize(torch.randn(4, 3), dim=1)
    frame, row = torch.tensor([2, 0]), torch.tensor([0, 1, 1, 0])
    moved, turned = refinement().refined(origins, directions, frame, row)
    torch.testing.assert_close(moved, origins)
    torch.testing.assert_close(turned, directions)


def test_every_ray_follows_its_own_frame() -> None:
    poses = refinement()
    with torch.no_grad():
        poses.pose_adjustment[2] = torch.tensor([0.1, 0.0, 0.0, 0.0, 0.0, math.pi / 2])
    origins, directions = torch.zeros(2, 3), torch.tensor([[1.0, 0.0, 0.0]] * 2)
    moved, turned = poses.refined(origins, directions, torch.tensor([1, 2]), torch.tensor([0, 1]))
    torch.testing.assert_close(moved, torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]))
    torch.testing.assert_close(turned, torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), atol=1e-6, rtol=0)


def test_off_has_no_parameters() -> None:
    poses = PoseRefinementConfig(mode="off").setup(num_frames=3, device="cpu")
    assert not poses.is_on
    assert not poses.state_dict()
