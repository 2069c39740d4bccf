"""Time ER-NeRF as it is trained and rendered: whole steps, and whole frames.

    python benchmarks/methods.py [--only step frame] [--device cuda] [--repeats 20] [--threads 2]

A step is all that Nerfstudio's trainer does between two others: pixels, rays, sound, both passes, every optimiser. Its
rays, 1,024 on a CPU and 65,536 on a GPU, meet up to 16 samples each. A frame is a head drawn by the method's own
renderer. No portrait has to be trained for it: random weights make an ellipsoid with an opaque shell of many colours,
whose occupancy and early ends are those of a head. See `timing` for how times are taken and where they are written.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import timing
import torch
from timing import ROOT, Case
from torch import Tensor

sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "kernels"))

from cases import BOUNDS, STEP, head_occupancy, portrait_rays, seeded  # pyright: ignore[reportMissingImports]
from portraits import write_tiny_portrait  # pyright: ignore[reportMissingImports]

from ns_talking.data.portrait_datamanager import PortraitDataManagerConfig
from ns_talking.fields.folded_triplane import fold
from ns_talking.fields.torso import TorsoField, TorsoFieldConfig
from ns_talking.fields.triplane import TriplaneField, TriplaneFieldConfig
from ns_talking.kernels.dispatch import ENVIRONMENT_VARIABLE
from ns_talking.methods.er_nerf import er_nerf
from ns_talking.methods.grid import GridPortraitModel
from ns_talking.methods.torso_layer import TorsoLayer
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.rendering.occupancy import OccupancyGrid, OccupancyGridConfig
from ns_talking.rendering.rays import Rays
from ns_talking.rendering.volume import render_folded, render_visible, render_volume, sample_occupied
from ns_talking.utils.halves import share_threads

SIZES = (128, 256, 512)
MAX_SAMPLES = 16


@contextmanager
def kernels(choice: str) -> Iterator[None]:
    """Choose the kernels for a while."""
    before = os.environ.get(ENVIRONMENT_VARIABLE)
    os.environ[ENVIRONMENT_VARIABLE] = choice
    yield
    os.environ.pop(ENVIRONMENT_VARIABLE)
    if before is not None:
        os.environ[ENVIRONMENT_VARIABLE] = before


def step_case(device: str) -> Case:
    """C2 and G3: one training step of the head phase, with the kernels and with their definitions."""
    num_rays = 65_536 if device == "cuda" else 1024
    folder = tempfile.TemporaryDirectory()
    portrait = write_tiny_portrait(Path(folder.name) / "portrait", num_frames=120, size=128)
    config = deepcopy(er_nerf.config)
    datamanager = config.pipeline.datamanager
    assert isinstance(datamanager, PortraitDataManagerConfig)
    datamanager.data = portrait
    datamanager.working_size = None
    datamanager.train_num_rays_per_batch = num_rays
    datamanager.seed = 0
    pipeline = config.pipeline.setup(device=device, test_mode="val")
    assert isinstance(pipeline, PortraitPipeline)
    model = pipeline.portrait_model
    assert isinstance(model, GridPortraitModel)
    # Every ray that meets the box meets as many samples as it may.
    model.occupancy.occupied.fill_(True)
    groups = model.get_param_groups()
    optimizers = [
        deepcopy(config.optimizers[name]["optimizer"]).setup(params=group) for name, group in groups.items() if group
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = 0.0
    scaler = torch.amp.GradScaler(device, enabled=device == "cuda")

    def side(choice: str) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            with kernels(choice):
                with torch.autocast(device, enabled=device == "cuda"):
                    _, losses, _ = pipeline.get_train_loss_dict(17)
                    loss = torch.stack(list(losses.values())).sum()
                scaler.scale(loss).backward()
                for optimizer in optimizers:
                    if any(value.grad is not None for group in optimizer.param_groups for value in group["params"]):
                        scaler.step(optimizer)
                    optimizer.zero_grad()
                scaler.update()
            # Holds on to the dataset as well, which goes when the case does.
            assert folder
            return [loss.detach()]

        return run

    return Case(
        f"er-nerf training step {num_rays}x{MAX_SAMPLES}",
        {"definitions": side("torch"), "kernels": side("auto")},
        tolerance=1e-2 if device == "cuda" else 1e-3,
        shape=f"{num_rays} rays x {MAX_SAMPLES}",
        dtype="float16, float32" if device == "cuda" else "float32",
    )


def frame_case(size: int, device: str) -> Case:
    """C3 and G4: one frame of the head."""
    torch.manual_seed(0)
    field = TriplaneField(TriplaneFieldConfig(), code_dim=32, appearance_dim=4)
    torch.nn.init.uniform_(field.planes, -0.5, 0.5)
    for layer in field.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=2 * layer.in_features**-0.5)
    with torch.no_grad():
        list(field.density_mlp.parameters())[-1][0].abs_()
    field = field.to(device).requires_grad_(False)
    grid = OccupancyGrid(OccupancyGridConfig(), BOUNDS).to(device)
    grid.occupied.copy_(head_occupancy((128, 128, 128), shell=True))
    origins, directions = (value.to(device) for value in portrait_rays(size))
    row = torch.zeros(len(origins), dtype=torch.long, device=device)
    rays = Rays(origins, directions, torch.zeros(len(origins), 2, device=device), row, size)
    code, blink, appearance = (torch.rand(shape, generator=seeded(1)).to(device) for shape in ((1, 32), (1,), (1, 4)))

    def side(choice: str) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            with kernels(choice):
                return [render_visible(field, rays, grid, STEP, MAX_SAMPLES, code, blink, appearance).rgb]

        return run

    def fused() -> list[Tensor]:
        with torch.no_grad():
            folded = fold(field, code, blink, appearance)
        return [render_folded(folded, rays, grid, STEP, MAX_SAMPLES).rgb]

    def everything() -> list[Tensor]:
        samples = sample_occupied(rays, grid, STEP, MAX_SAMPLES)
        with torch.no_grad():
            return [render_volume(field, rays, samples, STEP, code, blink, appearance)[0].rgb]

    sides = {"definitions": side("torch"), "kernels": side("auto"), "kernels, hidden samples too": everything}
    if device == "cuda":
        sides["fused"] = fused
    return Case(
        f"er-nerf frame {size}x{size}",
        sides,
        tolerance=2 / 255 if device == "cuda" else 1e-3,
        shape=f"{size * size} rays",
    )


def torso_case(size: int, device: str) -> Case:
    """The torso's share of G5: one frame of a torso that fills the lower half of the picture."""
    torch.manual_seed(0)
    torso = TorsoField(TorsoFieldConfig()).to(device).eval()
    torch.nn.init.uniform_(torso.table, -0.5, 0.5)
    torso.occupancy[len(torso.occupancy) // 2 :] = 1.0
    axis = torch.linspace(-1, 1, size, device=device)
    pixels = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)
    row = torch.zeros(len(pixels), dtype=torch.long, device=device)
    rays = Rays(torch.zeros_like(pixels[:, [0, 0, 0]]), torch.zeros_like(pixels[:, [0, 0, 0]]), pixels, row, size)
    pose = torch.tensor([[[1.0, 0.0, 0.0, 0.1], [0.0, 0.0, -1.0, -3.3], [0.0, 1.0, 0.0, 0.0]]], device=device)
    layers = {"definitions": TorsoLayer(torso), "kernels": TorsoLayer(torso)}

    def side(name: str) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            with kernels("torch" if name == "definitions" else "auto"):
                return list(layers[name](rays, pose, row[:1]))

        return run

    return Case(
        f"er-nerf torso {size}x{size}",
        {name: side(name) for name in layers},
        tolerance=2 / 255 if device == "cuda" else 1e-3,
        shape=f"{size * size} rays",
    )


def makers(kind: str, device: str) -> list[Callable[[], Case]]:
    """Cases of a kind, made when they are run."""
    if kind == "step":
        return [functools.partial(step_case, device)]
    cases = [functools.partial(frame_case, size, device) for size in SIZES]
    # Where there is no fused kernel for it, a torso is a few layers like those of the head.
    return [*cases, functools.partial(torso_case, SIZES[-1], device)] if device == "cuda" else cases


if __name__ == "__main__":
    options = timing.arguments(__doc__, ("step", "frame"))
    if options.device == "cpu":
        # As every pipeline of these methods does.
        share_threads()
    timing.run([make for kind in options.only for make in makers(kind, options.device)], options)
