"""Time the kernels against their alternatives.

    python benchmarks/kernels.py [--only encode march composite step] [--device cuda] [--repeats 20] [--threads 2]

Shapes come from the tests' case list; see `timing` for how times are taken and where they are written.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import timing
import torch
import torch.nn.functional as F
from timing import ROOT, Case
from torch import Tensor
from yardstick import looped_encoding

sys.path.insert(0, str(ROOT / "tests" / "kernels"))

from cases import (  # pyright: ignore[reportMissingImports] - the tests are not installed
    BOUNDS,
    MAX_SAMPLES,
    STEP,
    TRAIN_ENCODING,
    CompositeCase,
    EncodingCase,
    head_occupancy,
    portrait_rays,
    seeded,
)

from ns_talking.kernels.composite_rays import composite_rays
from ns_talking.kernels.dispatch import Op
from ns_talking.kernels.grid_geometry import GridGeometry
from ns_talking.kernels.linear import linear
from ns_talking.kernels.march_rays import march_rays
from ns_talking.kernels.tcnn.library import library
from ns_talking.kernels.triplane_encoding import triplane_encoding
from ns_talking.utils.halves import in_halves, share_threads

Encoder = Callable[[Tensor, Tensor, GridGeometry], Tensor]

GPU_POINTS = (1 << 16, 1 << 20, 1 << 22)


def embedded_encoding(points: Tensor, tables: Tensor, geometry: GridGeometry) -> Tensor:
    """The same loops over PyTorch's `F.embedding`."""
    return looped_encoding(points, tables, geometry, lookup="embedding")


class PortraitField(torch.nn.Module):
    """The MLPs of ER-NeRF's head with random weights, for their cost (sizes: ER-NeRF, ICCV 2023)."""

    def __init__(self) -> None:
        super().__init__()
        self.geometry = TRAIN_ENCODING.geometry
        self.product: Callable[[Tensor, Tensor], Tensor] = F.linear
        self.tables = torch.nn.Parameter(TRAIN_ENCODING.tables(3))
        sizes = {
            "audio_attention": (36, 64, 32),
            "eye_attention": (36, 16, 1),
            "density": (69, 64, 64, 65),
            "colour": (84, 64, 3),
            "uncertainty": (36, 32, 1),
        }
        self.layers = torch.nn.ParameterDict(
            {
                f"{name}_{layer}": torch.randn(rows, columns, generator=seeded(len(name))) * columns**-0.5
                for name, dims in sizes.items()
                for layer, (columns, rows) in enumerate(zip(dims[:-1], dims[1:], strict=True))
            }
        )

    def mlp(self, name: str, x: Tensor) -> Tensor:
        """Run one of the MLPs: no bias, ReLU between layers."""
        weights = [weight for key, weight in self.layers.items() if key.rpartition("_")[0] == name]
        for weight in weights[:-1]:
            x = self.product(x, weight).relu_()
        return self.product(x, weights[-1])

    def forward(self, points: Tensor, per_ray: Tensor, code: Tensor, encode: Encoder) -> tuple[Tensor, ...]:
        """Density, colour, uncertainty and the two attentions of every point."""
        features = encode(points, self.tables, self.geometry)
        audio = self.mlp("audio_attention", features)
        eye = self.mlp("eye_attention", features).sigmoid()
        hidden = self.mlp("density", torch.cat([features, audio * code, eye * 0.3], dim=-1))
        rgb = self.mlp("colour", torch.cat([per_ray, hidden[:, 1:]], dim=-1)).sigmoid()
        density = 150 * torch.exp(0.1 * hidden[:, 0])
        uncertainty = F.softplus(self.mlp("uncertainty", features.detach()))
        return density, rgb, uncertainty, audio.norm(dim=-1, keepdim=True), eye


def twin(device: str) -> str:
    """The twin that runs on a device."""
    return "triton" if device == "cuda" else "numba"


def implementations(operation: Op, device: str) -> dict[str, Callable]:
    """The definition of an operation and the twin for a device."""
    return {"torch": operation.reference, twin(device): getattr(operation, twin(device))}


def encode_case(case: EncodingCase, device: str) -> Case:
    """C1 and G1: encode forward and backward."""
    points = torch.rand(case.num_points, 3, generator=seeded(0)).to(device)
    tables = case.tables(3).to(device).requires_grad_()
    grad = torch.randn(case.num_points, 3 * case.geometry.output_dim, generator=seeded(1)).to(device)

    def side(encode: Encoder) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            tables.grad = None
            features = encode(points, tables, case.geometry)
            features.backward(grad)
            assert tables.grad is not None
            return [features.detach(), tables.grad]

        return run

    encoders: dict[str, Encoder] = implementations(triplane_encoding, device)
    if device == "cpu":
        encoders = {"naive loop": looped_encoding, "F.embedding loop": embedded_encoding, **encoders}
    sides = {name: side(encode) for name, encode in encoders.items()}
    if device == "cpu":
        sides["nerfstudio 3-D 12x1"] = nerfstudio_encoding(points, grad)
    elif (tcnn := tcnn_encoding()) is not None:
        theirs = side(tcnn)
        # Its last cells are not quite ours, so its results are left out of the comparison; tests make it.
        sides["tiny-cuda-nn"] = lambda: theirs()[:0]
    return Case(f"encode {case}", sides, shape=f"{case.num_points} points")


def tcnn_encoding() -> Encoder | None:
    """Tri-plane encoding through tiny-cuda-nn, where it is installed."""
    try:
        library()
    except ImportError as error:
        print(f"Without tiny-cuda-nn: {error}")
        return None
    return triplane_encoding.by("tcnn")


def nerfstudio_encoding(points: Tensor, grad: Tensor) -> Callable[[], list[Tensor]]:
    """Nerfstudio's own grid in PyTorch, which encodes something else."""
    from nerfstudio.field_components.encodings import HashEncoding

    volume = HashEncoding(12, 64, 512, 14, 1, implementation="torch")

    def run() -> list[Tensor]:
        volume.zero_grad()
        volume(points).backward(grad[:, :12])
        return []

    return run


def march_case(device: str) -> Case:
    """March the rays of a 512 x 512 frame."""
    origins, directions = (value.to(device) for value in portrait_rays(512))
    occupancy, bounds = head_occupancy((128, 128, 128)).to(device), BOUNDS.to(device)
    jitter = torch.full_like(origins[:, 0], 0.5)

    def side(march: Callable) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            samples = march(origins, directions, bounds, occupancy, STEP, MAX_SAMPLES, jitter)
            return [samples.steps, samples.t, samples.valid]

        return run

    sides = {name: side(march) for name, march in implementations(march_rays, device).items()}
    return Case("march 512x512", sides, shape="262144 rays, 128^3 voxels")


def composite_case(num_rays: int, device: str) -> Case:
    """Composite a training batch forward and backward."""
    case = CompositeCase(num_rays, MAX_SAMPLES, 2, 1)
    density, rgb, auxiliary, weighted, t, valid = (value.to(device) for value in case.inputs())
    leaves = [value.nan_to_num().requires_grad_() for value in (density, rgb, auxiliary, weighted)]

    def side(composite: Callable) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            for leaf in leaves:
                leaf.grad = None
            result = composite(leaves[0], STEP, *leaves[1:], t.nan_to_num(), valid)
            (result.rgb.sum() + result.accumulation.sum() + result.auxiliary.sum() + result.weighted.sum()).backward()
            return [result.rgb.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]

        return run

    sides = {name: side(composite) for name, composite in implementations(composite_rays, device).items()}
    return Case(f"composite {case}", sides, shape=f"{num_rays} rays x {MAX_SAMPLES}")


def step_case() -> Case:
    """C2: forward, backward and optimiser of ER-NeRF's head on 1,024 rays of 16 samples, by way of encoding."""
    num_rays = TRAIN_ENCODING.num_points // MAX_SAMPLES
    field = PortraitField()
    optimizer = torch.optim.AdamW(field.parameters(), lr=0.0, fused=True)
    points = torch.rand(num_rays * MAX_SAMPLES, 3, generator=seeded(0))
    per_ray = torch.rand(num_rays, 20, generator=seeded(1)).repeat_interleave(MAX_SAMPLES, dim=0)
    code, target = torch.rand(32, generator=seeded(2)), torch.rand(num_rays, 3, generator=seeded(3))
    t = torch.rand(num_rays, MAX_SAMPLES, generator=seeded(4)).sort(dim=1).values
    valid = torch.ones(num_rays, MAX_SAMPLES, dtype=torch.bool)

    threads = torch.get_num_threads()

    def side(
        encode: Encoder, composite: Callable, product: Callable = F.linear, halves: bool = False
    ) -> Callable[[], list[Tensor]]:
        def values() -> tuple[Tensor, ...]:
            if not halves:
                return field(points, per_ray, code, encode)
            function = functools.partial(field, encode=encode)
            return in_halves(function, [points, per_ray], [code], list(field.parameters()), MAX_SAMPLES)

        def run() -> list[Tensor]:
            torch.set_num_threads(max(threads // 2, 1) if halves else threads)
            field.product = product
            optimizer.zero_grad()
            density, rgb, uncertainty, audio, eye = (
                value.view(num_rays, MAX_SAMPLES, *value.shape[1:]) for value in values()
            )
            result = composite(density, STEP, rgb, torch.cat([audio, eye], dim=-1), uncertainty, t, valid)
            loss = (result.rgb - target).square().mean() + 1e-4 * (result.auxiliary.mean() + result.weighted.mean())
            loss.backward()
            optimizer.step()
            assert field.tables.grad is not None
            return [result.rgb.detach(), field.tables.grad.clone()]

        return run

    sides = {
        "F.embedding loop": side(embedded_encoding, composite_rays.reference),
        "torch": side(triplane_encoding.reference, composite_rays.reference),
        "numba, oneDNN": side(triplane_encoding.numba, composite_rays.numba, linear),
    }
    if threads > 1:
        share_threads()
        sides["numba, oneDNN, two halves"] = side(triplane_encoding.numba, composite_rays.numba, linear, halves=True)
    return Case(f"ER-NeRF step {num_rays}x{MAX_SAMPLES}", sides, shape=f"{num_rays} rays x {MAX_SAMPLES}")


def makers(kind: str, device: str) -> list[Callable[[], Case]]:
    """Cases of a kind, made when they are run."""
    if kind == "encode":
        sizes = GPU_POINTS if device == "cuda" else (TRAIN_ENCODING.num_points,)
        cases = [EncodingCase(TRAIN_ENCODING.geometry, size) for size in sizes]
        return [functools.partial(encode_case, case, device) for case in cases]
    if kind == "march":
        return [functools.partial(march_case, device)]
    if kind == "composite":
        return [functools.partial(composite_case, 65_536 if device == "cuda" else 4096, device)]
    # What a step is worth on a GPU is timed with the method itself: the encoding's share of it is small there.
    return [step_case] if device == "cpu" else []


if __name__ == "__main__":
    options = timing.arguments(__doc__, ("encode", "march", "composite", "step"))
    timing.run([make for kind in options.only for make in makers(kind, options.device)], options)
