"""The colours that pictures show at a point: blended, and how far they differ."""

from __future__ import annotations

import torch

from ns_talking.modules.colour_blend import OUTPUT_DIM, ColourBlend

POINTS, REFERENCES, FEATURE = 40, 4, 6


def given(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "features": torch.randn(POINTS, REFERENCES, FEATURE, generator=generator),
        "colours": torch.rand(POINTS, REFERENCES, 3, generator=generator),
        "facing": 1 - 1e-3 * torch.rand(POINTS, REFERENCES, generator=generator),
        "heard": torch.rand(POINTS, REFERENCES, generator=generator).softmax(dim=1),
    }


def blend() -> ColourBlend:
    torch.manual_seed(0)
    return ColourBlend(FEATURE)


def test_an_untrained_blend_is_the_mean_and_the_spread_of_the_pictures() -> None:
    values = given()
    found = blend()(**values)
    assert found.shape == (POINTS, OUTPUT_DIM)
    torch.testing.assert_close(found[:, 3:], values["colours"].mean(dim=1))
    expected = values["colours"].std(dim=1, correction=0)
    torch.testing.assert_close(found[:, :3], expected, atol=2e-3, rtol=0)


def test_a_blend_lies_among_the_pictures_whatever_it_has_learned() -> None:
    module, values = blend(), given()
    torch.nn.init.normal_(module.score.weight)
    found = module(**values)[:, 3:]
    assert bool((found <= values["colours"].amax(dim=1) + 1e-6).all())
    assert bool((found >= values["colours"].amin(dim=1) - 1e-6).all())
    assert not torch.allclose(found, values["colours"].mean(dim=1), atol=1e-2)


def test_the_order_of_the_pictures_does_not_matter() -> None:
    module, values = blend(), given()
    torch.nn.init.normal_(module.score.weight)
    turned = {name: value.roll(1, dims=1) for name, value in values.items()}
    torch.testing.assert_close(module(**turned), module(**values))


def test_it_learns_to_take_the_picture_that_sees_the_point_from_the_same_side_or_sounds_alike() -> None:
    for told in ("facing", "heard"):
        module, values = blend(), given()
        best = values[told].argmax(dim=1)
        wanted = values["colours"][torch.arange(POINTS), best]
        optimizer = torch.optim.Adam(module.parameters(), lr=2e-2)

        def error(module: ColourBlend = module, values: dict = values, wanted: torch.Tensor = wanted) -> torch.Tensor:
            return (module(**values)[:, 3:] - wanted).square().mean()

        before = float(error().detach())
        for _ in range(300):
            optimizer.zero_grad()
            error().backward()
            optimizer.step()
        assert float(error().detach()) < 0.3 * before, told


def test_equal_pictures_and_viewing_directions_have_finite_slopes() -> None:
    module, values = blend(), given()
    torch.nn.init.normal_(module.score.weight)
    values["colours"] = values["colours"][:, :1].expand(-1, REFERENCES, -1).clone().requires_grad_()
    values["facing"] = torch.ones(POINTS, REFERENCES)
    module(**values).sum().backward()
    colours = values["colours"].grad
    assert colours is not None and bool(colours.isfinite().all())
    assert all(
        parameter.grad is not None and bool(parameter.grad.isfinite().all()) for parameter in module.parameters()
    )
