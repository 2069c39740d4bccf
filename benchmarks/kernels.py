"""Time the kernels against their alternatives; a case whose results are wrong gets no number.

    python benchmarks/kernels.py [--only encode march composite step frame] [--repeats 20] [--threads 2] [--no-record]

Shapes come from the tests' case list. All sides of a case are interleaved in one process, so that their ratios survive
a busy machine; seconds do not. `--clock cpu --threads 1` counts the processor's time instead of the wall's. The record
goes to benchmarks/results/<device>_<commit>.json.
"""

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numba
import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "kernels"))

from cases import (  # noqa: E402 # pyright: ignore[reportMissingImports] - the tests are not installed
    BOUNDS,
    MAX_SAMPLES,
    STEP,
    TRAIN_ENCODING,
    CompositeCase,
    head_occupancy,
    portrait_rays,
    seeded,
)

from ns_talking.kernels.composite_rays import composite_rays  # noqa: E402
from ns_talking.kernels.front_to_back import RayTotals, accumulate_rays, select_samples  # noqa: E402
from ns_talking.kernels.grid_geometry import PRIMES, GridGeometry  # noqa: E402
from ns_talking.kernels.march_rays import march_rays  # noqa: E402
from ns_talking.kernels.triplane_encoding import PLANES, triplane_encoding  # noqa: E402

Encoder = Callable[[Tensor, Tensor, GridGeometry], Tensor]
Sides = dict[str, Callable[[], list[Tensor]]]

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

CHUNK = 16_384
"""Points that a field evaluates at once on a CPU: more fall out of its caches."""


def looped_encoding(points: Tensor, tables: Tensor, geometry: GridGeometry, lookup: str = "index") -> Tensor:
    """Tri-plane encoding as one writes it first: loops over planes, levels and corners."""
    features = []
    for axes, table in zip(PLANES, tables, strict=True):
        for level in range(geometry.num_levels):
            position = points[:, list(axes)] * geometry.scales[level] + 0.5
            cell = position.floor()
            fraction, cell = position - cell, cell.long()
            feature = torch.zeros(len(points), geometry.features_per_level)
            for x in (0, 1):
                for y in (0, 1):
                    if geometry.hashed[level]:
                        row = (cell[:, 0] + x) * PRIMES[0] ^ (cell[:, 1] + y) * PRIMES[1] & 0xFFFFFFFF
                    else:
                        row = cell[:, 0] + x + (cell[:, 1] + y) * geometry.strides[level][1]
                    row = row % geometry.level_entries[level] + geometry.offsets[level]
                    weight = (fraction[:, 0] if x else 1 - fraction[:, 0]) * (
                        fraction[:, 1] if y else 1 - fraction[:, 1]
                    )
                    value = table[row] if lookup == "index" else F.embedding(row, table)
                    feature = feature + weight[:, None] * value
            features.append(feature)
    return torch.cat(features, dim=1)


def embedded_encoding(points: Tensor, tables: Tensor, geometry: GridGeometry) -> Tensor:
    """The same loops over PyTorch's `F.embedding`."""
    return looped_encoding(points, tables, geometry, lookup="embedding")


class PortraitField(torch.nn.Module):
    """The MLPs of ER-NeRF's head with random weights, for their cost (sizes: ER-NeRF, ICCV 2023)."""

    def __init__(self) -> None:
        super().__init__()
        self.geometry = TRAIN_ENCODING.geometry
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
            x = F.linear(x, weight).relu_()
        return F.linear(x, weights[-1])

    def forward(
        self, points: Tensor, per_ray: Tensor, code: Tensor, encode: Encoder, train: bool
    ) -> tuple[Tensor, ...]:
        """Density, colour and, while training, uncertainty and the two attentions of every point."""
        features = encode(points, self.tables, self.geometry)
        audio = self.mlp("audio_attention", features)
        eye = self.mlp("eye_attention", features).sigmoid()
        hidden = self.mlp("density", torch.cat([features, audio * code, eye * 0.3], dim=-1))
        rgb = self.mlp("colour", torch.cat([per_ray, hidden[:, 1:]], dim=-1)).sigmoid()
        density = 150 * torch.exp(0.1 * hidden[:, 0])
        if not train:
            return density, rgb
        uncertainty = F.softplus(self.mlp("uncertainty", features.detach()))
        return density, rgb, uncertainty, audio.norm(dim=-1, keepdim=True), eye


def encode_case() -> tuple[str, Sides]:
    """C1: encode forward and backward."""
    from nerfstudio.field_components.encodings import HashEncoding

    case = TRAIN_ENCODING
    points = torch.rand(case.num_points, 3, generator=seeded(0))
    tables = case.tables(3).requires_grad_()
    grad = torch.randn(case.num_points, 3 * case.geometry.output_dim, generator=seeded(1))
    volume = HashEncoding(12, 64, 512, 14, 1, implementation="torch")

    def side(encode: Encoder) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            tables.grad = None
            features = encode(points, tables, case.geometry)
            features.backward(grad)
            assert tables.grad is not None
            return [features.detach(), tables.grad]

        return run

    def nerfstudio() -> list[Tensor]:
        volume.zero_grad()
        volume(points).backward(grad[:, :12])
        return []

    return f"encode {case}", {
        "naive loop": side(looped_encoding),
        "F.embedding loop": side(embedded_encoding),
        "torch": side(triplane_encoding.reference),
        "numba": side(triplane_encoding.numba),
        "nerfstudio 3-D 12x1": nerfstudio,
    }


def march_case() -> tuple[str, Sides]:
    """March the rays of a 512 x 512 frame."""
    origins, directions = portrait_rays(512)
    occupancy = head_occupancy((128, 128, 128))
    jitter = torch.full((len(origins),), 0.5)

    def side(march: Callable) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            samples = march(origins, directions, BOUNDS, occupancy, STEP, MAX_SAMPLES, jitter)
            return [samples.steps, samples.t, samples.valid]

        return run

    return "march 512x512", {"torch": side(march_rays.reference), "numba": side(march_rays.numba)}


def composite_case() -> tuple[str, Sides]:
    """Composite a training batch forward and backward."""
    case = CompositeCase(4096, MAX_SAMPLES, 2, 1)
    density, rgb, auxiliary, weighted, t, valid = case.inputs()
    leaves = [value.nan_to_num().requires_grad_() for value in (density, rgb, auxiliary, weighted)]

    def side(composite: Callable) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            for leaf in leaves:
                leaf.grad = None
            result = composite(leaves[0], STEP, *leaves[1:], t.nan_to_num(), valid)
            (result.rgb.sum() + result.accumulation.sum() + result.auxiliary.sum() + result.weighted.sum()).backward()
            return [result.rgb.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]

        return run

    return f"composite {case}", {"torch": side(composite_rays.reference), "numba": side(composite_rays.numba)}


def step_case() -> tuple[str, Sides]:
    """C2: a whole training step of ER-NeRF's head on 1,024 rays of 16 samples: forward, backward, optimiser."""
    num_rays = TRAIN_ENCODING.num_points // MAX_SAMPLES
    field = PortraitField()
    optimizer = torch.optim.AdamW(field.parameters(), lr=0.0)
    points = torch.rand(num_rays * MAX_SAMPLES, 3, generator=seeded(0))
    per_ray = torch.rand(num_rays, 20, generator=seeded(1)).repeat_interleave(MAX_SAMPLES, dim=0)
    code, target = torch.rand(32, generator=seeded(2)), torch.rand(num_rays, 3, generator=seeded(3))
    t = torch.rand(num_rays, MAX_SAMPLES, generator=seeded(4)).sort(dim=1).values
    valid = torch.ones(num_rays, MAX_SAMPLES, dtype=torch.bool)

    def side(encode: Encoder, composite: Callable) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            optimizer.zero_grad()
            density, rgb, uncertainty, audio, eye = (
                value.view(num_rays, MAX_SAMPLES, *value.shape[1:])
                for value in field(points, per_ray, code, encode, train=True)
            )
            result = composite(density, STEP, rgb, torch.cat([audio, eye], dim=-1), uncertainty, t, valid)
            loss = (result.rgb - target).square().mean() + 1e-4 * (result.auxiliary.mean() + result.weighted.mean())
            loss.backward()
            optimizer.step()
            assert field.tables.grad is not None
            return [result.rgb.detach(), field.tables.grad.clone()]

        return run

    return f"ER-NeRF step {num_rays}x{MAX_SAMPLES}", {
        "F.embedding loop": side(embedded_encoding, composite_rays.reference),
        "torch": side(triplane_encoding.reference, composite_rays.reference),
        "numba": side(triplane_encoding.numba, composite_rays.numba),
    }


def frame_case(size: int) -> tuple[str, Sides]:
    """C3: one frame of ER-NeRF's head, with and without what skips work; an opaque ellipsoid stands for the head."""
    field = PortraitField().requires_grad_(False)
    origins, directions = portrait_rays(size)
    per_ray, code = torch.rand(len(origins), 20, generator=seeded(1)), torch.rand(32, generator=seeded(2))
    jitter = torch.full((len(origins),), 0.5)
    shell = head_occupancy((128, 128, 128), shell=True)

    def side(occupancy: Tensor, max_samples: int, group_size: int) -> Callable[[], list[Tensor]]:
        @torch.no_grad()
        def run() -> list[Tensor]:
            samples = march_rays(origins, directions, BOUNDS, occupancy, STEP, max_samples, jitter)
            totals = RayTotals.start(len(origins), channels=3)
            for first in range(0, max_samples, group_size):
                group = select_samples(samples, origins, directions, BOUNDS, totals.transmittance, first, group_size)
                if group.ray.numel() == 0:
                    break
                parts = [
                    field(points, per_ray[ray], code, triplane_encoding, train=False)
                    for points, ray in zip(group.points.split(CHUNK), group.ray.split(CHUNK), strict=True)
                ]
                density, rgb = (torch.cat(values) for values in zip(*parts, strict=True))
                accumulate_rays(totals, group, density, rgb, STEP)
            return [totals.values]

        return run

    sides = {"groups of 4": side(shell, MAX_SAMPLES, 4), "all samples at once": side(shell, MAX_SAMPLES, MAX_SAMPLES)}
    if size <= 128:
        full = torch.ones(1, 1, 1, dtype=torch.bool)
        # Without occupancy every lattice position in the box is a sample, so the image is another one.
        sides["no occupancy, no early stop (other image)"] = side(full, 120, 120)
    return f"ER-NeRF frame {size}x{size}", sides


CASES: dict[str, list[Callable[[], tuple[str, Sides]]]] = {
    "encode": [encode_case],
    "march": [march_case],
    "composite": [composite_case],
    "step": [step_case],
    "frame": [lambda: frame_case(128), lambda: frame_case(256), lambda: frame_case(512)],
}


def check(name: str, sides: Sides) -> None:
    """Refuse to time sides that do not agree with the first; sides that compute something else return nothing."""
    results = {side: run() for side, run in sides.items() if "other image" not in side}
    wanted = next(iter(results.values()))
    for side, found in results.items():
        for expected, actual in zip(wanted, found, strict=False):
            scale = expected.double().abs().max().item()
            error = (expected.double() - actual.double()).abs().max().item()
            if not error <= 2e-4 * scale:
                raise SystemExit(
                    f"{name}: {side!r} is off by {error:.2g} of {scale:.2g}. No numbers before it is right."
                )


def measure(sides: Sides, repeats: int, clock: Callable[[], float]) -> dict[str, dict[str, float]]:
    """Milliseconds of every side, interleaved."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, run in sides.items():
            start = clock()
            run()
            seconds[side].append(clock() - start)
    rows = {}
    for side, values in seconds.items():
        cuts = statistics.quantiles(values, n=5)
        rows[side] = {"median_ms": 1e3 * statistics.median(values), "p20_ms": 1e3 * cuts[0], "p80_ms": 1e3 * cuts[3]}
    return rows


def device_name() -> str:
    """The processor's name, fit for a file name."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    name = found.group(1) if found else platform.processor() or platform.machine()
    name = re.sub(r"\((R|TM)\)|\bCPU\b|\bProcessor\b|@.*", " ", name, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def main() -> None:
    """Run the cases and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    records = []
    for kind in arguments.only:
        for make in CASES[kind]:
            name, sides = make()
            check(name, sides)
            rows = measure(sides, arguments.repeats, CLOCKS[arguments.clock])
            slowest = max(row["median_ms"] for row in rows.values())
            print(name)
            for side, row in rows.items():
                print(f"  {side:42} {row['median_ms']:9.2f} ms  {slowest / row['median_ms']:6.2f}x the slowest")
            records.append({"case": name, "dtype": "float32", "repeats": arguments.repeats, "sides": rows})
    if arguments.no_record:
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    path = ROOT / "benchmarks" / "results" / f"{device_name()}_{commit}.json"
    path.parent.mkdir(exist_ok=True)
    versions = {"torch": torch.__version__, "numba": numba.__version__, "python": platform.python_version()}
    record = {
        "device": device_name(),
        "commit": commit,
        "threads": arguments.threads,
        "clock": arguments.clock,
        **versions,
        "cases": records,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"Wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
