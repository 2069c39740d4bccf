"""Laws of the spherical harmonics."""

import math

import pytest
import torch
from kernels.cases import TRITON, implementation, seeded, value_and_grads

from ns_talking.kernels.spherical_harmonics import spherical_harmonics


def fibonacci_sphere(count: int) -> torch.Tensor:
    z = 1 - (2 * torch.arange(count, dtype=torch.float64) + 1) / count
    angle = math.pi * (1 + math.sqrt(5)) * torch.arange(count, dtype=torch.float64)
    radius = (1 - z * z).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], dim=-1)


def test_the_harmonics_are_orthonormal_on_the_sphere() -> None:
    values = spherical_harmonics(fibonacci_sphere(20_000))
    gram = values.T @ values * (4 * math.pi / len(values))
    torch.testing.assert_close(gram, torch.eye(16, dtype=torch.float64), atol=1e-3, rtol=0)


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_a_lower_degree_is_a_prefix(degree: int) -> None:
    directions = fibonacci_sphere(50)
    assert torch.equal(spherical_harmonics(directions, degree), spherical_harmonics(directions)[:, : degree**2])


@pytest.mark.parametrize("band", [0, 1, 2, 3])
def test_the_energy_of_a_band_is_the_same_in_every_direction(band: int) -> None:
    values = spherical_harmonics(fibonacci_sphere(50))[:, band**2 : (band + 1) ** 2]
    torch.testing.assert_close(values.square().sum(dim=1), torch.full((50,), (2 * band + 1) / (4 * math.pi)).double())


def test_gradients_are_exact() -> None:
    directions = torch.randn(5, 3, generator=seeded(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(spherical_harmonics, directions)


@pytest.mark.parametrize("degree", [0, 5])
def test_an_unknown_degree_is_refused(degree: int) -> None:
    with pytest.raises(ValueError, match=f"degree={degree}"):
        spherical_harmonics(torch.ones(1, 3), degree)


def test_no_directions_give_no_components() -> None:
    assert spherical_harmonics(torch.empty(0, 3)).shape == (0, 16)


@pytest.mark.parametrize("twin", [TRITON])
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [0, 1, 77])
def test_a_twin_equals_the_definition(count: int, degree: int, twin: str) -> None:
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=seeded(0)), dim=-1)

    def run(backend: str) -> list[torch.Tensor | None]:
        # The harmonic of degree 0 is constant, so the directions join in for a gradient there too.
        return value_and_grads(lambda d: implementation(spherical_harmonics, backend)(d, degree) + d[:, :1], directions)

    expected, actual = run("reference"), run(twin)
    for wanted, found in zip(expected, actual, strict=True):
        assert wanted is not None and found is not None
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_a_twin_refuses_an_unknown_degree() -> None:
    pytest.importorskip("triton")
    with pytest.raises(ValueError, match="degree=5"):
        spherical_harmonics.triton(torch.ones(1, 3), 5)
