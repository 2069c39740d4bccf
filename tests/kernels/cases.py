"""Inputs on which every implementation of an operation must agree; the benchmarks take their shapes from here too."""

import dataclasses
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from ns_talking.kernels.dispatch import Op
from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.render_canvas import FoldedCanvas
from ns_talking.kernels.render_triplane import FoldedTriplane

_NO_TRITON = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="there is no Triton for this system")
TRITON = pytest.param("triton", marks=_NO_TRITON)
TWINS = ["numba", TRITON]
BACKENDS = ["reference", *TWINS]

ER_NERF_PLANE = GridGeometry(2, 12, 1, 64, 512, 14)
RAD_NERF_SPACE = GridGeometry(3, 16, 2, 16, 2048, 16, "tiled")
RAD_NERF_PLANE = GridGeometry(2, 16, 2, 16, 2048, 16, "tiled")

BOUNDS = torch.tensor([[-1.0, -0.8, -1.0], [1.0, 0.55, 1.0]])
STEP = 2 * math.sqrt(3) / 128
MAX_SAMPLES = 16


@dataclass(frozen=True)
class EncodingCase:
    """Points for a grid of one geometry."""

    geometry: GridGeometry
    num_points: int

    def __str__(self) -> str:
        g = self.geometry
        return f"{g.kind}{g.dimensions}d-{g.num_levels}x{g.features_per_level}-{self.num_points}"

    def points(self, dimensions: int | None = None) -> Tensor:
        """Points in the unit cube, a few of them outside, on its border or not a number."""
        dimensions = dimensions or self.geometry.dimensions
        points = torch.rand(self.num_points, dimensions, generator=seeded(0))
        for row, value in ((3, 0.0), (5, 1.0), (7, -0.01), (9, 1.01), (11, math.nan)):
            if row < self.num_points:
                points[row, row % dimensions] = value
        return points

    def tables(self, count: int) -> Tensor:
        """Tables for a number of grids."""
        shape = (count, self.geometry.num_entries, self.geometry.features_per_level)
        return torch.rand(shape, generator=seeded(1)) * 2 - 1


TINY_HASH = GridGeometry(2, 3, 1, 4, 40, 7)
ENCODING_CASES = [
    EncodingCase(geometry, num_points)
    for geometry, num_points in (
        (ER_NERF_PLANE, 1023),
        (ER_NERF_PLANE, 0),
        (TINY_HASH, 1),
        (TINY_HASH, 257),
        (GridGeometry(2, 1, 4, 8, 8, 19), 256),
        (GridGeometry(2, 5, 3, 5, 61, 6, "tiled"), 100),
        (GridGeometry(3, 4, 2, 3, 50, 9), 513),
        (GridGeometry(3, 4, 1, 3, 300, 9, "tiled"), 77),
        (GridGeometry(3, 1, 2, 2, 2, 3), 1),
        (RAD_NERF_SPACE, 300),
    )
]

TRAIN_ENCODING = EncodingCase(ER_NERF_PLANE, 1024 * MAX_SAMPLES)
"""One training step of the CPU preset: 1,024 rays of 16 samples."""


@dataclass(frozen=True)
class CompositeCase:
    """Ray samples with extra channels."""

    num_rays: int
    num_samples: int
    num_auxiliary: int
    num_weighted: int
    density: float = 20.0

    def __str__(self) -> str:
        return f"{self.num_rays}x{self.num_samples}+{self.num_auxiliary}+{self.num_weighted}@{self.density:g}"

    def inputs(self, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Density, rgb, auxiliary, weighted, t and valid; what is not valid holds NaN."""
        generator = seeded(2)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, dtype=dtype)

        rays, samples = self.num_rays, self.num_samples
        density = uniform(rays, samples) ** 3 * self.density
        values = [uniform(rays, samples, channels) for channels in (3, self.num_auxiliary, self.num_weighted)]
        t = 3 + uniform(rays, samples).sort(dim=1).values
        count = torch.randint(0, samples + 1, (rays, 1), generator=generator)
        valid = torch.arange(samples) < count
        for value in (density, *values, t):
            value[~valid] = math.nan
        return [density, *values, t, valid]


COMPOSITE_CASES = [
    CompositeCase(33, 16, 2, 1),
    CompositeCase(1, 1, 0, 0),
    CompositeCase(7, 1, 1, 3),
    CompositeCase(0, 16, 2, 1),
    CompositeCase(63, 16, 0, 1, density=3000.0),
    CompositeCase(5, 3, 2, 0, density=math.inf),
    CompositeCase(1024, 16, 2, 1, density=200.0),
]


@dataclass(frozen=True)
class MarchCase:
    """Rays of a camera in front of the head, through a kind of occupancy."""

    num_rays: int
    occupancy_shape: tuple[int, int, int]
    fill: str
    max_samples: int = MAX_SAMPLES
    step: float = STEP

    def __str__(self) -> str:
        side = "x".join(str(length) for length in self.occupancy_shape)
        return f"{self.num_rays}-{side}-{self.fill}-{self.max_samples}"

    def occupancy(self) -> Tensor:
        """Occupied voxels."""
        if self.fill == "head":
            return head_occupancy(self.occupancy_shape)
        threshold = {"full": 1.0, "empty": 0.0, "sparse": 0.01, "half": 0.5}[self.fill]
        return torch.rand(self.occupancy_shape, generator=seeded(3)) < threshold

    def rays(self) -> tuple[Tensor, Tensor, Tensor]:
        """Origins, unit directions and jitter: towards the head, past it, along the axes, from inside."""
        generator = seeded(4)
        origins = torch.tensor([0.0, -3.3, 0.0]) + 0.2 * torch.randn(self.num_rays, 3, generator=generator)
        targets = torch.randn(self.num_rays, 3, generator=generator) * 0.6
        if self.num_rays > 12:
            origins[0:3] = torch.tensor([[0.0, -3.3, 0.0], [5.0, 0.1, 0.1], [0.2, 0.1, -4.0]])
            targets[0:3] = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.1, 0.1], [0.2, 0.1, 0.0]])
            origins[3:6] = torch.tensor([[0.0, 0.0, 0.0], [0.0, -3.3, 1.5], [1.0, -3.3, -1.0]])
            targets[3:6] = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.5], [1.0, 0.0, -1.0]])
            # Along the face between two blocks of voxels.
            origins[6:9] = torch.tensor([[0.0, -3.3, 0.5], [0.5, -3.3, 0.25], [-0.25, 3.3, -0.5]])
            targets[6:9] = torch.tensor([[0.0, 0.0, 0.5], [0.5, 0.0, 0.2500001], [-0.2500001, 0.0, -0.5]])
        directions = torch.nn.functional.normalize(targets - origins, dim=-1)
        return origins, directions, torch.rand(self.num_rays, generator=generator)

    def arguments(self) -> tuple[Tensor, Tensor, Tensor, Tensor, float, int, Tensor]:
        """All arguments of `march_rays`."""
        origins, directions, jitter = self.rays()
        return origins, directions, BOUNDS, self.occupancy(), self.step, self.max_samples, jitter


MARCH_CASES = [
    MarchCase(10_001, (128, 128, 128), "head"),
    MarchCase(4097, (128, 128, 128), "sparse"),
    MarchCase(513, (32, 20, 31), "half", max_samples=1),
    MarchCase(300, (64, 64, 64), "sparse", max_samples=7, step=0.007),
    MarchCase(64, (128, 128, 128), "full"),
    MarchCase(64, (128, 128, 128), "empty"),
    MarchCase(100, (1, 1, 1), "full", max_samples=200),
    MarchCase(1, (9, 8, 7), "half"),
    MarchCase(0, (16, 16, 16), "half"),
]


def folded_er_nerf() -> FoldedTriplane:
    """ER-NeRF's head under one condition, with random weights: clouds of many colours."""
    generator = seeded(7)
    sizes = {
        "attention": (64, 36),
        "strength": (32, 64),
        "eye": (16, 36),
        "eye_out": (16,),
        "density": (64, 36),
        "density_of_attention": (64, 64),
        "density_of_eye": (64,),
        "hidden": (64, 64),
        "log_density": (64,),
        "colour": (64, 64),
        "direction": (64, 16),
        "colour_out": (3, 64),
    }
    weights = {name: 2 * torch.randn(size, generator=generator) * size[-1] ** -0.5 for name, size in sizes.items()}
    weights["log_density"] *= 3
    tables = torch.rand(3, ER_NERF_PLANE.num_entries, 1, generator=generator) - 0.5
    return FoldedTriplane(tables=tables, geometry=ER_NERF_PLANE, max_log_density=15.0, colour_margin=0.001, **weights)


def folded_canvas(
    geometry: GridGeometry, octaves: int, deformation: tuple[int, int], inner: int, shade: int
) -> FoldedCanvas:
    """A canvas under one condition, with random weights: a picture of many colours, moved by up to a tenth of it."""
    generator, encoded = seeded(9), 2 + 4 * octaves

    def matrix(*size: int, scale: float = 2.0) -> Tensor:
        return scale * torch.randn(size, generator=generator) * size[-1] ** -0.5

    return FoldedCanvas(
        table=torch.rand(geometry.num_entries, geometry.features_per_level, generator=generator) - 0.5,
        geometry=geometry,
        extent=0.8,
        octaves=octaves,
        deformation=matrix(deformation[0], encoded),
        deformation_constant=matrix(deformation[0]),
        deformation_hidden=matrix(deformation[1], deformation[0]),
        deformation_out=matrix(2, deformation[1], scale=0.1),
        features=matrix(inner, geometry.output_dim),
        place=matrix(inner, encoded),
        constant=matrix(inner),
        hidden=matrix(shade, inner),
        out=matrix(4, shade),
        margin=0.001,
    )


def er_nerf_canvas() -> FoldedCanvas:
    """ER-NeRF's torso."""
    return folded_canvas(RAD_NERF_PLANE, 8, (32, 32), 32, 32)


def rad_nerf_canvas() -> FoldedCanvas:
    """RAD-NeRF's torso."""
    return folded_canvas(RAD_NERF_PLANE, 10, (64, 64), 32, 32)


def head_occupancy(shape: tuple[int, int, int], shell: bool = False) -> Tensor:
    """Voxels of an ellipsoid as large as a head within `BOUNDS`; with `shell`, only those near its surface."""
    axes = [
        BOUNDS[0, axis] + (BOUNDS[1, axis] - BOUNDS[0, axis]) * (torch.arange(side) + 0.5) / side
        for axis, side in enumerate(shape)
    ]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    radius = ((x / 0.55) ** 2 + (y / 0.6) ** 2 + (z / 0.75) ** 2).sqrt()
    return (radius < 1.05) & (radius > 0.8) if shell else radius < 1


def portrait_rays(size: int) -> tuple[Tensor, Tensor]:
    """Origins and unit directions of all pixels of a square portrait camera."""
    pixel = (torch.arange(size) + 0.5) / size - 0.5
    z, x = torch.meshgrid(-pixel, pixel, indexing="ij")
    directions = torch.stack([x.flatten() * 0.9, torch.full((size * size,), 1.0), z.flatten() * 0.9], dim=-1)
    directions = torch.nn.functional.normalize(directions, dim=-1)
    return torch.tensor([0.0, -3.3, 0.0]).expand(size * size, 3).contiguous(), directions


def implementation(operation: Op, backend: str) -> Callable[..., Any]:
    """One implementation of an operation, for tensors on the CPU: Triton gets them on the GPU where there is one."""
    function = getattr(operation, backend)
    if backend != "triton" or not torch.cuda.is_available():
        return function

    def on_gpu(*arguments: Any, **named: Any) -> Any:
        moved = [_to(value, "cuda") for value in arguments]
        return _to(function(*moved, **{name: _to(value, "cuda") for name, value in named.items()}), "cpu")

    return on_gpu


def _to(value: Any, device: str) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(_to(part, device) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type | GridGeometry):
        return type(value)(
            **{entry.name: _to(getattr(value, entry.name), device) for entry in dataclasses.fields(value)}
        )
    return value


def seeded(seed: int) -> torch.Generator:
    """A generator of its own for every kind of input."""
    return torch.Generator().manual_seed(seed)


def value_and_grads(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor | None]:
    """Outputs of a function and the gradients of a random projection of them."""
    leaves = [value.detach().clone().requires_grad_(value.is_floating_point()) for value in inputs]
    output = function(*leaves)
    (output * torch.randn(output.shape, generator=seeded(5), dtype=output.dtype)).sum().backward()
    return [output.detach(), *(leaf.grad for leaf in leaves)]
