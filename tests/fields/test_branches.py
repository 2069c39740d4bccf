"""Two fields draw their own regions alone, and both of them where they overlap."""

from __future__ import annotations

from typing import Any

import torch

from ns_talking.fields.branches import Branches, BranchesConfig, BranchRays, split_rays
from ns_talking.modules.nerf_mlp import NeRFMLPConfig

RAYS, SAMPLES, CODE, FEATURE = 70, 3, 5, 4


def branches(corrects: bool = False, **options: bool) -> Branches:
    torch.manual_seed(0)
    config = BranchesConfig(
        network=NeRFMLPConfig(width=16, depth=4, colour_width=8, colour_depth=1),
        position_degree=2,
        direction_degree=1,
        **options,
    )
    return Branches(config, CODE, FEATURE, num_controls=1, corrects=corrects)


def given(seed: int = 0) -> list[Any]:  # Any: tensors, and one pair of them.
    generator = torch.Generator().manual_seed(seed)
    shapes = [(RAYS, SAMPLES, 3), (RAYS, 3), (RAYS, SAMPLES, FEATURE), (RAYS, CODE), (RAYS, 1)]
    points, directions, features, *others = (torch.randn(shape, generator=generator) for shape in shapes)
    return [points, directions, (features, features + 1), *others]


def along(drawn: BranchRays, values: list[Any]) -> list[Any]:
    """What a field is given: features along its own rays."""
    features = tuple(part.take(found) for part, found in zip(drawn.parts, values[2], strict=True))
    return [*values[:2], features, *values[3:], drawn]


def test_a_ray_of_one_region_is_drawn_by_its_own_field_alone() -> None:
    field, values = branches(), given()
    lower = torch.arange(RAYS) % 3 == 0
    both = field(*values, BranchRays.all_of_both(lower))
    apart = field(*along(split_rays(lower, 0.0, torch.rand(RAYS)), values))
    torch.testing.assert_close(apart.density[lower], both.own_density[lower, :, 0])
    torch.testing.assert_close(apart.density[~lower], both.own_density[~lower, :, 1])
    assert not apart.own_density[lower, :, 1].any()
    assert torch.equal(apart.follows, lower.float()[:, None].expand(-1, SAMPLES))


def test_in_the_overlap_densities_add_up_and_masks_mix_colours() -> None:
    field, values = branches(), given()
    everything = BranchRays.all_of_both(values[0])
    mixed = field(*values, everything)
    torch.testing.assert_close(mixed.density, mixed.own_density.sum(dim=2))
    assert bool(((mixed.rgb >= 0) & (mixed.rgb <= 1)).all())
    literal = branches(normalise_masks=False)(*values, everything)
    total = literal.own_mask.sum(dim=2, keepdim=True)
    torch.testing.assert_close(mixed.rgb * total, literal.rgb, atol=1e-5, rtol=1e-5)


def test_the_share_of_overlapping_rays_is_what_was_asked_for() -> None:
    lower = torch.arange(4000) % 2 == 0
    drawn = split_rays(lower, 0.4, torch.rand(4000, generator=torch.Generator().manual_seed(0)))
    assert bool((drawn.aware | drawn.independent).all())
    passes = float(drawn.aware.float().mean() + drawn.independent.float().mean())
    assert abs(passes - 1.4) < 0.03


def test_the_independent_field_is_not_told_the_sound() -> None:
    field, values = branches(), given()
    everything = BranchRays.all_of_both(values[0])
    before = field(*values, everything)
    values[3] = values[3] + 1
    after = field(*values, everything)
    assert torch.equal(before.own_density[..., 1], after.own_density[..., 1])
    assert not torch.equal(before.own_density[..., 0], after.own_density[..., 0])


def test_each_field_sees_its_own_features() -> None:
    field, values = branches(), given()
    everything = BranchRays.all_of_both(values[0])
    before = field(*values, everything).own_density
    of_aware, of_independent = values[2]
    for index, features in enumerate([(of_aware + 1, of_independent), (of_aware, of_independent + 1)]):
        after = field(*values[:2], features, *values[3:], everything).own_density
        assert not torch.allclose(after[..., index], before[..., index], atol=1e-4)
        assert torch.equal(after[..., 1 - index], before[..., 1 - index])


def test_where_there_is_one_field_it_alone_draws() -> None:
    field, values = branches(two=False), given()
    drawn = field(*values, BranchRays.all_of_both(values[0]))
    assert field.independent is None
    assert bool((drawn.density > 0).all())
    assert drawn.own_density.shape == (RAYS, SAMPLES, 1)


def test_colours_that_are_corrected_are_a_start_of_their_own_in_each_field() -> None:
    field, values = branches(corrects=True), given()
    for network in (field.aware, field.independent):
        assert network is not None
        last = network.colour[-1]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    of_aware, of_independent = (torch.full((RAYS, SAMPLES, FEATURE), colour) for colour in (0.2, 0.7))
    values[2] = of_aware, of_independent
    found = field(*values, BranchRays.all_of_both(values[0]))
    expected = (0.2 * found.follows + 0.7 * (1 - found.follows))[..., None].expand(-1, -1, 3)
    torch.testing.assert_close(found.rgb, expected)


def test_black_and_white_can_be_corrected_too() -> None:
    field, values = branches(corrects=True, two=False), given()
    for colour in (0.0, 1.0):
        values[2] = (torch.full((RAYS, SAMPLES, FEATURE), colour), values[2][1])
        field.zero_grad()
        field(*values, BranchRays.all_of_both(values[0])).rgb.sum().backward()
        slope = field.aware.colour[-1].bias.grad
        assert slope is not None and bool(slope.isfinite().all()) and float(slope.abs().min()) > 0.1
