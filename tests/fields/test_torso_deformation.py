"""A torso that rests in front of the camera comes to rest in the canonical frame, and nothing else moves untrained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from ns_talking.fields.base import FieldCondition
from ns_talking.fields.mlp import MLPField, MLPFieldConfig
from ns_talking.fields.torso_deformation import RigidMotion, TorsoDeformation, TorsoDeformationConfig


def poses(count: int, seed: int = 0) -> torch.Tensor:
    """Cameras around the head, as far away as in a dataset."""
    random = np.random.default_rng(seed)
    rotation = Rotation.from_euler("xyz", random.uniform(-0.5, 0.5, (count, 3))).as_matrix()
    position = rotation @ np.array([0.1, -0.2, 3.3])
    return torch.from_numpy(np.concatenate([rotation, position[:, :, None]], axis=2).astype(np.float32))


def deformation(**options: int) -> TorsoDeformation:
    torch.manual_seed(0)
    return TorsoDeformation(TorsoDeformationConfig(**options), poses(1, seed=9)[0], num_frames=20)


def test_a_rigid_torso_of_any_frame_comes_to_lie_on_one_canonical_torso() -> None:
    """SSP-0: to 1e-5 on random poses."""
    canonical, cameras = poses(1, seed=9)[0], poses(200)
    in_camera = torch.rand(50, 3, generator=torch.Generator().manual_seed(1)) - torch.tensor([0.5, 0.5, 3.8])
    expected = in_camera @ canonical[:, :3].T + canonical[:, 3]
    motion = RigidMotion.of(cameras, canonical)
    for row, camera in enumerate(cameras):
        seen = in_camera @ camera[:, :3].T + camera[:, 3]
        moved = motion(seen, torch.full((50,), row))
        assert float((moved - expected).abs().max()) < 1e-5


def test_an_untrained_deformation_makes_a_share_of_the_torsos_motion_and_bends_nothing() -> None:
    module, cameras = deformation(), poses(4)
    field = module.moved(MLPField(MLPFieldConfig(num_layers=2), 4, 0), cameras, torch.arange(4), seed=0)
    positions, row = torch.rand(30, 3) - 0.5, torch.arange(30) % 4
    rigid, share, bend = field.displacement(positions, row)
    assert float(bend.detach().abs().max()) == 0
    assert float(rigid.norm(dim=1).min()) > 0
    assert bool(((share > 0) & (share < 1)).all())


def bent(**options: int) -> TorsoDeformation:
    """One that has learned something."""
    module = deformation(**options)
    for parameter in module.bend_mlp.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def test_what_bends_leaves_the_head_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    module, cameras = bent(), poses(4)
    field = module.moved(MLPField(MLPFieldConfig(num_layers=2), 4, 0), cameras, torch.arange(4), seed=0)
    positions, row = torch.rand(30, 3) - 0.5, torch.arange(30) % 4
    assert float(field.displacement(positions, row)[2].detach().norm(dim=1).min()) > 0
    monkeypatch.setattr(module, "share", lambda positions: torch.zeros(len(positions)))
    assert float(field.displacement(positions, row)[2].detach().abs().max()) == 0


def test_in_the_canonical_frame_the_field_is_itself_whatever_was_learned() -> None:
    module = bent()
    inner = MLPField(MLPFieldConfig(num_layers=2), 4, 0)
    field = module.moved(inner, module.canonical_pose[None], torch.zeros(1, dtype=torch.long), seed=0)
    positions = torch.rand(30, 3) - 0.5
    condition = FieldCondition(torch.rand(1, 4), torch.zeros(1), torch.zeros(30, dtype=torch.long))
    torch.testing.assert_close(
        field.density(positions, condition).density, inner.density(positions, condition).density, atol=1e-5, rtol=1e-4
    )


def test_a_frame_that_was_never_seen_has_no_latent_and_a_seen_one_every_other_time() -> None:
    module = deformation(latent_dim=8)
    torch.nn.init.ones_(module.latents.codes)
    drawn = torch.stack([module.latents(torch.arange(20), seed)[:, 0] for seed in range(50)])
    assert 0.4 < float(drawn.detach().mean()) < 0.6
    assert set(drawn.detach().unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(module.latents(torch.arange(20), 7)[:, 0], drawn[7])
    module.eval()
    assert not module.latents(torch.arange(25), 7).any()


def test_a_config_of_the_first_version_bends_as_it_did() -> None:
    config = TorsoDeformationConfig()
    state = {name: value for name, value in vars(config).items() if name != "bend_with_torso"}
    earlier = TorsoDeformationConfig.__new__(TorsoDeformationConfig)
    earlier.__setstate__(state)
    assert config.bend_with_torso and not earlier.bend_with_torso


def test_the_share_can_be_fitted_beforehand_and_alike_every_time() -> None:
    positions = torch.rand(2_000, 3, generator=torch.Generator().manual_seed(3)) - 0.5
    wanted = (positions[:, 2] < -0.1).float()
    first, second = deformation(share_octaves=2), deformation(share_octaves=2)
    for module in (first, second):
        module.learn_share(positions, wanted, seed=5)
    clear = (positions[:, 2] + 0.1).abs() > 0.05
    share = first.share(positions).detach()
    assert float((share - wanted)[clear].abs().mean()) < 0.05
    assert torch.equal(share, second.share(positions).detach())
    assert all(parameter.grad is None for parameter in first.parameters())


def test_the_share_can_tell_the_torso_from_the_head() -> None:
    """Points that rest in front of the camera pull it to 1, points that rest in the world to 0."""
    cameras, row = poses(6), torch.arange(600) % 6
    spread = 0.1 * torch.randn(600, 3, generator=torch.Generator().manual_seed(2))

    for on_torso in (True, False):
        module = deformation(share_octaves=1)
        centre = module.canonical_pose[:, 3] + module.canonical_pose[:, :3] @ torch.tensor([0.0, -0.5, -3.3])
        in_camera = (centre + spread - module.canonical_pose[:, 3]) @ module.canonical_pose[:, :3]
        moving = torch.einsum("nij,nj->ni", cameras[row][:, :, :3], in_camera) + cameras[row][:, :, 3]
        positions = moving if on_torso else centre + spread
        motion = RigidMotion.of(cameras, module.canonical_pose)
        optimizer = torch.optim.Adam(module.share_mlp.parameters(), lr=1e-2)
        for _ in range(150):
            rigid = motion(positions, row) - positions
            moved = positions + module.share(positions)[:, None] * rigid
            loss = (moved - (centre + spread)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert float(module.share(positions).detach().mean()) == pytest.approx(float(on_torso), abs=0.15)
