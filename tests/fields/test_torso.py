"""The torso is a picture that the head's pose deforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from ns_talking.fields.euler_torso import EulerTorsoField, EulerTorsoFieldConfig
from ns_talking.fields.posed_canvas import PosedCanvasConfig
from ns_talking.fields.torso import TorsoField, TorsoFieldConfig

KINDS = [TorsoFieldConfig, EulerTorsoFieldConfig]


def pose(x: float = 0.0) -> torch.Tensor:
    return torch.tensor([[[1.0, 0, 0, x], [0, 0, -1, -3.3], [0, 1, 0, 0]]])


def pixels(count: int) -> torch.Tensor:
    return torch.rand(count, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_anchors_project_to_where_a_pinhole_camera_sees_them() -> None:
    torso = TorsoField(TorsoFieldConfig())
    with torch.no_grad():
        torso.anchors.copy_(torch.tensor([[0.1, 0.0, 0.2, 1.0], [0.2, 0.0, 0.4, 2.0], [0.0, 0.0, 0.0, 1.0]]))
    expected = [0.1 / 3.3, -0.2 / 3.3] * 2 + [0.0, 0.0]
    torch.testing.assert_close(torso.encode_pose(pose())[0], torch.tensor(expected), atol=1e-6, rtol=1e-5)


def test_euler_angles_are_those_of_scipy_and_zero_from_in_front() -> None:
    torso = EulerTorsoField(EulerTorsoFieldConfig())
    torch.testing.assert_close(torso.encode_pose(pose())[0], torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 3.3]))
    angles = np.array([0.2, -0.4, 0.1])
    face_to_world = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    turned = np.eye(4)[None, :3]
    turned[0, :, :3] = face_to_world @ Rotation.from_euler("XYZ", angles).as_matrix()
    np.testing.assert_allclose(torso.encode_pose(torch.from_numpy(turned).float())[0, :3], angles, atol=1e-6)


def test_the_pseudo_3d_torso_has_the_layers_of_the_released_model() -> None:
    torso = EulerTorsoField(EulerTorsoFieldConfig())
    deformation, picture = (
        [layer.weight.numel() for layer in mlp if hasattr(layer, "weight")]
        for mlp in (torso.deformation_mlp, torso.torso_mlp)
    )
    assert (sum(deformation), sum(picture)) == (10_880, 5_504)


@pytest.mark.parametrize("kind", KINDS)
def test_another_pose_deforms_the_torso(kind: type[PosedCanvasConfig]) -> None:
    torch.manual_seed(0)
    torso = kind().setup()
    torch.nn.init.normal_(torso.table)
    where, row = pixels(64), torch.zeros(64, dtype=torch.long)
    still = torso(where, pose(), torch.zeros(1, dtype=torch.long), row)[0]
    moved = torso(where, pose(0.3), torch.zeros(1, dtype=torch.long), row)[0]
    assert float((still - moved).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_rays_of_two_frames_are_those_of_each_frame(kind: type[PosedCanvasConfig]) -> None:
    torch.manual_seed(0)
    torso = kind().setup().eval()
    torch.nn.init.normal_(torso.table)
    where = pixels(6)
    both = torso(where, torch.cat([pose(), pose(0.3)]), torch.tensor([0, 5]), torch.tensor([0, 1, 0, 1, 0, 1]))[0]
    second = torso(where, pose(0.3), torch.tensor([5]), torch.zeros(6, dtype=torch.long))[0]
    torch.testing.assert_close(both[1::2], second[1::2])


def test_before_the_first_update_a_torso_may_be_anywhere_and_then_where_it_was_seen() -> None:
    torch.manual_seed(0)
    torso = TorsoField(TorsoFieldConfig(occupancy_resolution=32))
    assert bool(torso.occupied(pixels(50)).all())
    low = torch.tensor([[0.9, 0.0]])
    torso.occupancy[-8:] = 0.9
    assert bool(torso.occupied(low).all())
    assert not bool(torso.occupied(-low).any())


def test_the_map_of_the_torso_is_its_dilated_opacity() -> None:
    torch.manual_seed(0)
    torso = TorsoField(TorsoFieldConfig(occupancy_resolution=16)).eval()
    torch.nn.init.normal_(torso.table)
    torso.update_occupancy(pose(), torch.zeros(1, dtype=torch.long))
    axis = torch.linspace(-1, 1, 16)
    where = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)
    alpha = torso(where, pose(), torch.zeros(1, dtype=torch.long), torch.zeros(256, dtype=torch.long))[1]
    assert bool((torso.occupancy.view(-1, 1) >= alpha - 1e-6).all())


def test_an_appearance_code_of_no_channels_is_allowed() -> None:
    torso = TorsoField(TorsoFieldConfig(appearance_dim=0))
    rgb, alpha = torso(pixels(3), pose(), torch.zeros(1, dtype=torch.long), torch.zeros(3, dtype=torch.long))
    assert rgb.shape == (3, 3) and alpha.shape == (3, 1)
