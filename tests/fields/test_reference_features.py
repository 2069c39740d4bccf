"""Points are looked up where the cameras of the references really see them."""

from __future__ import annotations

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras

from ns_talking.fields.reference_features import (
    ReferenceFeatures,
    ReferenceFeaturesConfig,
    SeenReferences,
    look_up,
    project,
)
from ns_talking.modules.reference_encoder import ReferenceEncoderConfig
from ns_talking.modules.warper import LIMIT, WarperConfig
from ns_talking.rendering.rays import camera_rays

SIZE = 16


def poses(number: int = 2) -> torch.Tensor:
    """Cameras 3 units from the origin that look at it, turned against each other."""
    result = []
    for angle in torch.linspace(-0.3, 0.4, number).tolist():
        back = torch.tensor([torch.sin(torch.tensor(angle)), -torch.cos(torch.tensor(angle)), 0.1])
        back = back / back.norm()
        right = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), back)
        right = right / right.norm()
        result.append(torch.stack([right, torch.linalg.cross(back, right), back, 3 * back], dim=1))
    return torch.stack(result)


def seen(features: torch.Tensor, code_dim: int = 5) -> SeenReferences:
    number = len(features)
    return SeenReferences(
        images=torch.rand(number, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)),
        features=features,
        camera_to_world=poses(number),
        lens=torch.tensor([40.0, 40.0, SIZE / 2, SIZE / 2]),
        size_px=(SIZE, SIZE),
        codes=torch.randn(number, code_dim),
    )


def test_a_point_on_the_ray_of_a_pixel_is_projected_to_the_middle_of_that_pixel() -> None:
    references = seen(torch.zeros(2, 1, SIZE, SIZE))
    for index, pose in enumerate(references.camera_to_world):
        camera = Cameras(pose[None], 40.0, 40.0, SIZE / 2, SIZE / 2, SIZE, SIZE)
        rays = camera_rays(camera, torch.device("cpu"))
        pixels = project(rays.origins + 2.7 * rays.directions, references)[:, index]
        row, column = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        expected = torch.stack([column.flatten(), row.flatten()], dim=1) + 0.5
        torch.testing.assert_close(pixels, expected, atol=1e-3, rtol=0)


def test_features_are_read_at_the_pixel() -> None:
    features = torch.rand(2, 3, SIZE, SIZE)
    found = look_up(torch.tensor([[[4.5, 7.5], [0.5, 15.5]]]), seen(features))
    torch.testing.assert_close(found[0, 0], features[0, :, 7, 4])
    torch.testing.assert_close(found[0, 1], features[1, :, 15, 0])


@pytest.mark.parametrize("rows", [1, 5])
def test_a_processor_looks_up_what_grid_sample_does_within_and_beyond_the_borders(rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 3, rows, 7, generator=generator, requires_grad=True)
    pixels = ((torch.rand(60, 2, 2, generator=generator) * 1.4 - 0.2) * SIZE).requires_grad_()
    places = (pixels / SIZE * 2 - 1).transpose(0, 1)[:, :, None]
    sampled = torch.nn.functional.grid_sample(features, places, padding_mode="border", align_corners=False)
    expected = sampled[..., 0].permute(2, 0, 1)
    actual = look_up(pixels, seen(features))
    torch.testing.assert_close(actual, expected)
    weights = torch.rand(expected.shape, generator=generator)
    for one, other in zip(
        *(torch.autograd.grad((found * weights).sum(), (features, pixels)) for found in (actual, expected)), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("warp_by", ["audio", "feature"])
@pytest.mark.parametrize("aggregation", ["audio", "slots", "mean"])
def test_offsets_begin_near_zero_stay_bounded_and_are_learned(warp_by: str, aggregation: str) -> None:
    torch.manual_seed(0)
    config = ReferenceFeaturesConfig(
        encoder=ReferenceEncoderConfig(width=4, feature_dim=6),
        warper=WarperConfig(width=8, narrow=4),
        warp_by=warp_by,
        aggregation=aggregation,
        token_dim=8,
        position_degree=2,
        direction_degree=1,
    )
    look = ReferenceFeatures(config, code_dim=5)
    points, towards = torch.randn(20, 3) * 0.3, torch.nn.functional.normalize(torch.randn(20, 3), dim=1)
    given = points, towards, torch.randn(3, 5), torch.arange(20) % 3
    references = seen(look.encoder(torch.rand(2, 3, SIZE, SIZE), poses()))
    features, offsets = look(*given, references)
    assert features.shape == (20, look.output_dim)
    assert float(offsets.detach().abs().max()) < 1e-3
    features.square().sum().backward()
    assert look.warper is not None
    assert all(parameter.grad is not None for parameter in look.warper.parameters())
    for parameter in look.parameters():
        torch.nn.init.normal_(parameter)
    _, offsets = look(*given, references)
    assert float(offsets.detach().abs().max()) == pytest.approx(LIMIT * SIZE)
    look.warper.reset()
    assert float(look(*given, references)[1].detach().abs().max()) < 1e-3


def test_offsets_learn_to_follow_the_sound_from_gradients_as_small_as_those_of_a_training() -> None:
    """Where all layers start with weights of 0.001, a thousand steps teach the last bias alone."""
    torch.manual_seed(0)
    warper = WarperConfig(width=32, narrow=16).setup(
        sees="audio", position_dim=9, direction_dim=3, code_dim=5, feature_dim=6
    )
    optimizer = torch.optim.Adam(warper.parameters(), lr=2e-3)
    code = torch.stack([torch.ones(5), -torch.ones(5)])
    row = torch.arange(40) % 2
    wanted = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])[row][:, None]
    place, towards, of_references = torch.randn(40, 9), torch.randn(40, 3), torch.randn(40, 4, 3)

    def error() -> torch.Tensor:
        return (warper.by_audio(place, towards, code, row, of_references, torch.randn(4, 5), 128.0) - wanted).square()

    before = float(error().mean().detach())
    for _ in range(200):
        optimizer.zero_grad()
        (1e-4 * error().mean()).backward()
        optimizer.step()
    assert float(error().mean().detach()) < 0.1 * before


def test_a_stride_keeps_places_where_they_are() -> None:
    encoder = ReferenceEncoderConfig(width=4, feature_dim=6, feature_stride=2).setup()
    assert encoder(torch.rand(2, 3, SIZE, SIZE), poses()).shape == (2, 6, SIZE // 2, SIZE // 2)


def test_colours_are_those_of_the_pictures_where_a_point_is_seen() -> None:
    """Full resolution, though the features have half of it."""
    config = ReferenceFeaturesConfig(
        encoder=ReferenceEncoderConfig(width=4, feature_dim=6, feature_stride=2),
        warp_by="none",
        aggregation="mean",
        position_degree=2,
        colours=True,
    )
    look = ReferenceFeatures(config, code_dim=5)
    references = seen(torch.zeros(1, 6, SIZE // 2, SIZE // 2))
    camera = Cameras(references.camera_to_world, 40.0, 40.0, SIZE / 2, SIZE / 2, SIZE, SIZE)
    rays = camera_rays(camera, torch.device("cpu"))
    points = rays.origins + 2.7 * rays.directions
    row = torch.zeros(len(points), dtype=torch.long)
    found, _ = look(points, rays.directions, torch.zeros(1, 5), row, references)
    assert found.shape[1] == look.output_dim == 6 + 6
    expected = references.images[0].permute(1, 2, 0).reshape(-1, 3)
    torch.testing.assert_close(found[:, -3:], expected, atol=2e-3, rtol=0)
    assert float(found[:, -6:-3].detach().max()) < 2e-3
