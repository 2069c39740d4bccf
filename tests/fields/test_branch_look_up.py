"""Each field gets what the pictures know along its own rays."""

from __future__ import annotations

import torch
from torch import Tensor

from ns_talking.fields.branch_look_up import BranchLookUp, in_order
from ns_talking.fields.branches import BranchRays, split_rays
from ns_talking.fields.reference_features import ReferenceFeatures, ReferenceFeaturesConfig, SeenReferences
from ns_talking.modules.reference_encoder import ReferenceEncoderConfig

RAYS, SAMPLES, SIZE, CODE = 12, 3, 16, 5


def references(look_up: ReferenceFeatures) -> SeenReferences:
    facing = torch.tensor([[1.0, 0.0, 0.0, 0.1], [0.0, 0.0, -1.0, -3.0], [0.0, 1.0, 0.0, 0.2]])
    cameras = torch.stack([facing, facing + torch.tensor([0.0, 0.0, 0.0, 0.2])])
    lens = torch.tensor([40.0, 40.0, SIZE / 2, SIZE / 2])
    images = torch.rand(2, 3, SIZE, SIZE)
    features = look_up.encoder(images, cameras)
    return SeenReferences(images, features, cameras, lens, (SIZE, SIZE), torch.randn(2, CODE))


def made(drawn: BranchRays, apart: bool) -> tuple[BranchLookUp, Tensor, Tensor]:
    """A look-up for two frames, points along its rays, and what all rays would find with the sound."""
    torch.manual_seed(0)
    config = ReferenceFeaturesConfig(
        encoder=ReferenceEncoderConfig(width=4, feature_dim=6), token_dim=8, position_degree=2, direction_degree=1
    )
    look_up = ReferenceFeatures(config, CODE)
    for parameter in look_up.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    seen, code, row = references(look_up), torch.randn(2, CODE), torch.arange(RAYS) % 2
    directions = torch.nn.functional.normalize(torch.randn(RAYS, 3), dim=1)
    points = torch.randn(RAYS, SAMPLES, 3) * 0.3
    samples = points.flatten(0, 1), directions.repeat_interleave(SAMPLES, 0)
    heard = look_up(*samples, code, row.repeat_interleave(SAMPLES), seen)[0].unflatten(0, (RAYS, SAMPLES))
    return BranchLookUp.of(look_up, seen, code, row, directions, drawn, apart), points, heard


def some() -> BranchRays:
    return split_rays(torch.arange(RAYS) % 3 == 0, 0.4, torch.linspace(0, 0.99, RAYS))


def test_one_look_up_serves_both_fields() -> None:
    drawn = some()
    pictures, points, heard = made(drawn, apart=False)
    found, offsets = pictures.at(points)
    assert offsets.shape == (RAYS * SAMPLES, 2, 2)
    for features, wanted in zip(pictures.of_fields(found), (drawn.aware, drawn.independent), strict=True):
        torch.testing.assert_close(features, heard[wanted])


def test_the_field_that_is_not_told_the_sound_finds_what_the_mean_of_the_references_sounds_would() -> None:
    drawn = some()
    pictures, points, heard = made(drawn, apart=True)
    found, offsets = pictures.at(points)
    aware, independent = pictures.of_fields(found)
    torch.testing.assert_close(aware, heard[drawn.aware], atol=1e-5, rtol=1e-5)
    assert offsets.shape == (int(drawn.aware.sum()) * SAMPLES, 2, 2)
    mean = pictures.seen.codes.mean(dim=0, keepdim=True)
    samples = points[drawn.independent].flatten(0, 1)
    directions = pictures.directions[int(drawn.aware.sum()) :].repeat_interleave(SAMPLES, 0)
    of_mean, _ = pictures.look_up(samples, directions, mean, torch.zeros(len(samples), dtype=torch.long), pictures.seen)
    torch.testing.assert_close(independent.flatten(0, 1), of_mean, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(independent, heard[drawn.independent], atol=1e-2)


def test_a_field_that_draws_nothing_is_given_nothing() -> None:
    nothing = torch.zeros(RAYS, dtype=torch.bool)
    pictures, points, heard = made(BranchRays(nothing, ~nothing), apart=True)
    aware, independent = pictures.of_fields(pictures.at(points)[0])
    assert aware.shape == (0, SAMPLES, heard.shape[2])
    assert independent.shape == heard.shape


def test_two_sets_of_points_are_joined_along_each_ray_of_each_part() -> None:
    drawn = some()
    pictures, points, heard = made(drawn, apart=True)
    places = torch.rand(RAYS, 2 * SAMPLES)
    order = places.argsort(dim=1)
    both = in_order(heard, heard + 1, order)
    first, second = (tuple(part.take(values) for part in drawn.parts) for values in (heard, heard + 1))
    joined = pictures.in_order(first, second, order)
    for features, wanted in zip(joined, (drawn.aware, drawn.independent), strict=True):
        assert torch.equal(features, both[wanted])
    ray, place = 4, 2
    assert torch.equal(both[ray, place], torch.cat([heard[ray], heard[ray] + 1])[order[ray, place]])
