"""What each part of SSP-NeRF is worth: arms that differ in one thing, measured on held-out frames by class.

```
python benchmarks/ssp_nerf.py --data outputs/demo/ada/data --arm dynamic --seed 42 --output dynamic_42.json
```

`dynamic` shares rays out by the loss of each class, `uniform` draws them anywhere, `fixed` gives each class the share
that `dynamic` gave it on average, `still` does not deform the torso, in `see-through` it costs nothing when the scene
shines through the head, `er-nerf` has a torso of its own.
"""

from __future__ import annotations

import json
import tempfile
import time
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import torch
import tyro
from nerfstudio.scripts.train import _set_random_seed

from ns_talking.data.class_sampler import ClassPixelSamplerConfig
from ns_talking.data.face_classes import NUM_CLASSES, TORSO_CLASSES, FaceClass
from ns_talking.data.pixel_samplers import UniformPixelSamplerConfig
from ns_talking.fields.torso_deformation import MovedTorsoField
from ns_talking.methods.er_nerf import er_nerf
from ns_talking.methods.ssp_nerf import SSPNeRFModel, SSPNeRFModelConfig, ssp_nerf
from ns_talking.pipelines.trainer import PortraitTrainerConfig
from ns_talking.rendering.rays import camera_rays
from ns_talking.rendering.volume import render_volume, sample_occupied
from ns_talking.utils.files import write_json
from ns_talking.utils.progress import CONSOLE
from ns_talking.utils.source import commit

if TYPE_CHECKING:
    from ns_talking.pipelines.portrait import PortraitPipeline

_MOVING = (FaceClass.LIPS, FaceClass.INNER_MOUTH, FaceClass.EYES)
_TURNED_DEG = 8.0
_RARE = 1e-3
_BAND = 12 / 512
Figures = dict[str, Any]  # Any: JSON.


@dataclass
class Arm:
    """Train one arm and measure it."""

    data: Path
    output: Path
    arm: Literal["dynamic", "uniform", "fixed", "still", "see-through", "er-nerf"] = "dynamic"
    seed: int = 42
    iterations: int = 600
    working_size: int = 96
    rays: int = 1024
    eval_split: Literal["test", "validation"] = "test"
    frames: int = 24
    """Held-out frames that are measured, spread evenly."""
    keep: Path | None = None
    """Where to keep the training, to render it; by default it is not kept."""
    like: Path | None = None
    """Of the arm `fixed`: record of an arm `dynamic`."""
    parsing_weight: float | None = None
    """Weight of the cross entropy; None takes the preset's."""
    area_power: float | None = None
    """How far areas of classes weigh their rays; None takes the model's."""
    contour_share: float | None = None
    """Share of the background's rays along the outline; None takes the sampler's."""
    share_every: int = 25
    """Steps between two tellings of the losses."""
    corrupt: str | None = None
    """Class whose colours are inverted for a while, for example `lips`."""
    corrupt_from: int = 250
    corrupt_until: int = 400

    def main(self) -> None:
        """Train, measure, write."""
        _set_random_seed(self.seed)
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            config = self._config(Path(folder) if self.keep is None else self.keep)
            trainer = config.setup(local_rank=0, world_size=1)
            trainer.setup()
            shares = self._watch(trainer.pipeline)
            trainer.train()
            trained = time.process_time()
            record = {
                "arm": self.arm,
                "commit": commit(),
                "seed": self.seed,
                "iterations": self.iterations,
                "working_size": self.working_size,
                "rays": self.rays,
                "eval_split": self.eval_split,
                "cpu_s": trained - started,
                "shares": _judge_shares(shares, self.arm) | self._judge_corruption(shares),
                **measure(trainer.pipeline, self.frames, self.output.with_suffix(".png")),
            }
        write_json(self.output, record)
        CONSOLE.print({key: value for key, value in record.items() if key not in ("shares", "parsing")})

    def _config(self, folder: Path) -> PortraitTrainerConfig:
        config = deepcopy(er_nerf.config if self.arm == "er-nerf" else ssp_nerf.config)
        data = config.pipeline.datamanager
        data.data, data.working_size, data.train_num_rays_per_batch = self.data, self.working_size, self.rays
        data.face_classes = True
        data.dataparser.eval_split = self.eval_split
        model = config.pipeline.model
        if isinstance(model, SSPNeRFModelConfig):
            model.use_deformation = self.arm != "still"
            if self.arm == "see-through":
                model.solid_weight = 0.0
            model.balance.warm_up = model.balance.interval = self.share_every
            if self.parsing_weight is not None:
                model.parsing_weight = self.parsing_weight
            if self.area_power is not None:
                model.area_power = self.area_power
        if self.contour_share is not None:
            data.pixel_sampler.contour_share = self.contour_share
        if self.arm == "uniform":
            data.pixel_sampler = UniformPixelSamplerConfig(blink_frames=3)
        if self.arm == "fixed":
            assert isinstance(data.pixel_sampler, ClassPixelSamplerConfig)
            data.pixel_sampler = replace(data.pixel_sampler, floor=0.0, cap=1.0)
        config.output_dir, config.experiment_name, config.timestamp = folder, "arm", "run"
        config.max_num_iterations, config.vis, config.machine.seed = self.iterations, "tensorboard", self.seed
        config.logging.local_writer.enable = False
        never = 10**9
        config.steps_per_eval_batch = config.steps_per_eval_image = config.steps_per_save = never
        assert isinstance(config, PortraitTrainerConfig)
        return config

    def _watch(self, pipeline: PortraitPipeline) -> list[Figures]:
        """Note the shares of rays and losses of every step, and corrupt what is asked for."""
        log: list[Figures] = []
        losses_of, next_train = pipeline.get_train_loss_dict, pipeline.datamanager.next_train
        wrong = None if self.corrupt is None else FaceClass[self.corrupt.upper()]

        drawn = [np.zeros(0, np.int64)]

        def corrupted(step: int) -> tuple[Any, dict[str, Any]]:
            rays, batch = next_train(step)
            drawn[0] = np.unique(batch["indices"][:, 0].numpy())
            if wrong is not None and self.corrupt_from <= step < self.corrupt_until:
                there = (batch["face_class"] == wrong)[:, None]
                batch["image"] = torch.where(there, 1 - batch["image"], batch["image"])
            return rays, batch

        def noted(step: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
            outputs, losses, metrics = losses_of(step)
            if "ray_share_skin" in metrics:
                told = pipeline.portrait_model.class_losses()
                log.append(
                    {
                        "step": step,
                        "rays": [float(metrics[f"ray_share_{one.name.lower()}"]) for one in FaceClass],
                        "told": None if told is None else told.tolist(),
                        "allowed": None if told is None else self._allowed(pipeline, drawn[0], told),
                    }
                )
            return outputs, losses, metrics

        if self.arm == "fixed":
            if self.like is None:
                raise ValueError("The arm `fixed` needs a record of the arm `dynamic`: --like FILE")
            rays = json.loads(self.like.read_text(encoding="utf-8"))["shares"]["mean_rays"]
            constant = np.array([rays[one.name.lower()] for one in FaceClass])
            pipeline.portrait_model.class_losses = lambda: constant
        pipeline.datamanager.next_train = corrupted
        pipeline.get_train_loss_dict = noted
        return log

    def _judge_corruption(self, log: list[Figures]) -> Figures:
        """Tell the corrupted class's share of the rays before, at the end of the corruption, and at the end of all.

        `path` has its mean share between two tellings, from the first step on.
        """
        if self.corrupt is None:
            return {}
        wrong, width = FaceClass[self.corrupt.upper()], 2 * self.share_every
        ends = {"before": self.corrupt_from, "corrupted": self.corrupt_until, "after": self.iterations}
        mean = {
            name: float(np.mean([entry["rays"][wrong] for entry in log if end - width <= entry["step"] < end]))
            for name, end in ends.items()
        }
        periods: dict[int, list[float]] = {}
        for entry in log:
            periods.setdefault(entry["step"] // self.share_every, []).append(entry["rays"][wrong])
        path = [round(float(np.mean(shares)), 4) for _, shares in sorted(periods.items())]
        when = {"corrupt": self.corrupt, "corrupt_from": self.corrupt_from, "corrupt_until": self.corrupt_until}
        return when | mean | {"path": path}

    def _allowed(self, pipeline: PortraitPipeline, frames: np.ndarray, told: np.ndarray) -> list[float]:
        """Tell which share of the rays each class can get: its share of the losses where a frame has the pixels."""
        budget = pipeline.datamanager.budget
        assert budget is not None
        pixels = [np.bincount(budget.classes(int(frame)).ravel(), minlength=NUM_CLASSES) for frame in frames]
        return np.minimum(np.array(pixels) * len(frames) / self.rays, told / told.sum()).mean(axis=0).tolist()


def _judge_shares(log: list[Figures], arm: str) -> Figures:
    """Correlate shares of rays with shares of losses, each the mean over the steps between two tellings.

    A class of few pixels cannot get more rays than these; `correlation_of_free` leaves classes out whose pixels allow
    less than 95 % of their share of the losses.
    """
    known = [entry for entry in log if entry["told"] is not None]
    if not known:
        return {}
    mean = np.mean([entry["rays"] for entry in known], axis=0)
    result: Figures = {"mean_rays": {one.name.lower(): float(mean[one]) for one in FaceClass}}
    if arm != "dynamic":
        return result
    periods: dict[tuple[float, ...], list[list[float]]] = {}
    for entry in known:
        periods.setdefault(tuple(entry["told"]), []).append(entry["rays"])
    rays = np.array([np.mean(values, axis=0) for values in periods.values()])
    allowed = np.mean([entry["allowed"] for entry in known], axis=0)
    asked = np.mean([np.array(entry["told"]) / np.sum(entry["told"]) for entry in known], axis=0)
    told = np.array(list(periods))
    told /= told.sum(axis=1, keepdims=True)
    correlations = [float(np.corrcoef(one, other)[0, 1]) for one, other in zip(rays, told, strict=True)]
    free = allowed >= 0.95 * asked
    return result | {
        "correlation_of_free": float(np.corrcoef(rays[:, free].ravel(), told[:, free].ravel())[0, 1]),
        "without_pixels": [one.name.lower() for one in FaceClass if not free[one]],
        "correlation_all": float(np.corrcoef(rays.ravel(), told.ravel())[0, 1]),
        "correlation_worst": min(correlations),
        "rays": rays.round(4).tolist(),
        "losses": told.round(4).tolist(),
    }


@torch.no_grad()
def measure(pipeline: PortraitPipeline, num_frames: int, sheet: Path) -> Figures:
    """Measure held-out frames by class; PSNR in dB of all pixels of a class over all frames."""
    pipeline.eval()
    model, data = pipeline.portrait_model, pipeline.datamanager
    dataset = data.eval_dataset
    chosen = np.unique(np.linspace(0, len(dataset) - 1, num_frames).round().astype(int))
    canonical = model.deformation.canonical_pose if isinstance(model, SSPNeRFModel) and model.deformation else None
    errors, elsewhere, opacity, classes, found, turned, seams, pictures = [], [], [], [], [], [], [], []
    for row in chosen:
        camera, batch = data.eval_dataloader.get_camera(int(row))
        outputs = model.get_outputs_for_camera(camera)
        real, rendered = batch["image"].numpy(), outputs["rgb"].numpy()
        errors.append(((real - rendered) ** 2).mean(axis=-1))
        before_another, opaque = _before_another(outputs)
        elsewhere.append(((real - before_another) ** 2).mean(axis=-1))
        opacity.append(opaque)
        classes.append(batch["face_class"].numpy())
        if "face_class" in outputs:
            found.append(outputs["face_class"][..., 0].numpy().astype(int))
        turned.append(_angle(camera.camera_to_worlds[0], canonical))
        seams.append(_seam(rendered, real, classes[-1]))
        pictures.append(np.concatenate([real, rendered, np.abs(real - rendered)]))
    error, label = np.stack(errors), np.stack(classes)
    image = np.concatenate([pictures[k] for k in range(0, len(pictures), max(1, len(pictures) // 6))], axis=1)
    cv2.imwrite(str(sheet), (image.clip(0, 1) * 255).astype(np.uint8)[..., ::-1])
    torso = np.isin(label, TORSO_CLASSES)
    head = ~torso & (label != FaceClass.BACKGROUND)
    far = np.array(turned) > _TURNED_DEG
    figures = {
        "psnr": _psnr(error),
        "moving_psnr": _psnr(error[np.isin(label, _MOVING)]),
        "lips_psnr": _psnr(error[np.isin(label, (FaceClass.LIPS, FaceClass.INNER_MOUTH))]),
        "eyes_psnr": _psnr(error[label == FaceClass.EYES]),
        "torso_psnr": _psnr(error[torso]),
        "head_psnr": _psnr(error[head]),
        "head_opacity": float(np.stack(opacity)[head].mean()),
        "head_psnr_before_another_scene": _psnr(np.stack(elsewhere)[head]),
        "moving_psnr_before_another_scene": _psnr(np.stack(elsewhere)[np.isin(label, _MOVING)]),
        "psnr_by_class": {one.name.lower(): _psnr(error[label == one]) for one in FaceClass if (label == one).any()},
        "error_by_class": {one.name.lower(): float(error[label == one].sum() / error.sum()) for one in FaceClass},
        "num_turned": int(far.sum()),
        "largest_turn_deg": float(max(turned)),
        "torso_psnr_turned": _psnr(error[far][torso[far]]) if far.any() else None,
        "seam": float(np.mean(seams)),
    }
    if found:
        figures["parsing"] = _overlaps(np.stack(found), label)
        figures["miou"] = float(np.mean(list(figures["parsing"].values())))
    if isinstance(model, SSPNeRFModel) and model.deformation is not None:
        figures |= _motion(model, pipeline, chosen)
    return figures


def _before_another(outputs: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Give the picture before a green wall that was never there, and the opacity of the person."""
    through = 1 - outputs["accumulation"]
    torso = through * outputs["torso_alpha"]
    clear = through - torso
    picture = outputs["head_rgb"] + torso * outputs["torso_rgb"] + clear * torch.tensor([0.0, 1.0, 0.0])
    return picture.clamp(0, 1).numpy(), (1 - clear[..., 0]).numpy()


def _psnr(error: np.ndarray) -> float:
    return float(-10 * np.log10(max(error.mean(), 1e-12)))


def _angle(pose: torch.Tensor, canonical: torch.Tensor | None) -> float:
    if canonical is None:
        return 0.0
    turn = (torch.trace(pose[:, :3] @ canonical[:, :3].T) - 1) / 2
    return float(torch.rad2deg(torch.acos(turn.clamp(-1, 1))))


def _seam(rendered: np.ndarray, real: np.ndarray, classes: np.ndarray) -> float:
    """Gradient energy in a band around the border of head and torso, rendered over real."""
    torso = np.isin(classes, TORSO_CLASSES).astype(np.uint8)
    head = ((classes != FaceClass.BACKGROUND) & (torso == 0)).astype(np.uint8)
    width = max(1, round(_BAND * classes.shape[1] / 2))
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    band = (cv2.dilate(torso, kernel) & cv2.dilate(head, kernel)) > 0
    energy = [np.square(np.stack(np.gradient(image.mean(axis=-1))))[:, band].sum() for image in (rendered, real)]
    return float(energy[0] / max(energy[1], 1e-12))


def _overlaps(found: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Intersection over union of each class that covers a thousandth of the pixels at least."""
    counts = np.bincount(label.ravel() * NUM_CLASSES + found.ravel(), minlength=NUM_CLASSES**2)
    table = counts.reshape(NUM_CLASSES, NUM_CLASSES)
    union = table.sum(axis=0) + table.sum(axis=1) - table.diagonal()
    return {
        one.name.lower(): float(table[one, one] / union[one])
        for one in FaceClass
        if table[one].sum() >= _RARE * label.size
    }


def _motion(model: SSPNeRFModel, pipeline: PortraitPipeline, chosen: np.ndarray) -> Figures:
    """How far visible samples miss the torso's rigid motion, or move on the head, as a share of that motion."""
    of_torso, of_head, lengths = [], [], []
    by_share, by_bend, labels = [], [], []
    data = pipeline.datamanager
    for row in chosen[:: max(1, len(chosen) // 6)]:
        camera, batch = data.eval_dataloader.get_camera(int(row))
        rays = camera_rays(camera, model.device)
        assert camera.metadata is not None
        condition = model.track.at_frames(camera.metadata["frame_index"].view(1))
        driven = model.driven_field(model.encode_audio(condition), condition)
        assert isinstance(driven, MovedTorsoField)
        samples = sample_occupied(rays, model.occupancy, model.config.step_size, model.config.max_samples)
        head, _ = render_volume(
            driven,
            rays,
            samples,
            model.config.step_size,
            model.encode_audio(condition),
            condition.blink,
            model.appearance(condition.frame),
        )
        assert head.weights is not None
        weight = head.weights.view(-1)[samples.slot]
        rigid, share, bend = driven.displacement(samples.positions, rays.row[samples.ray])
        moved = share[:, None] * rigid + bend
        label = batch["face_class"].view(-1)[samples.ray]
        seen = weight > 0.1
        torso = seen & (label == FaceClass.CLOTHES)
        on_head = seen & (label != FaceClass.BACKGROUND) & (label != FaceClass.NECK) & (label != FaceClass.CLOTHES)
        of_torso.append((moved - rigid)[torso].norm(dim=1))
        of_head.append(moved[on_head].norm(dim=1))
        lengths.append(rigid[torso].norm(dim=1))
        by_share.append((share[:, None] * rigid)[seen].norm(dim=1))
        by_bend.append(bend[seen].norm(dim=1))
        labels.append(label[seen])
    length = float(torch.cat(lengths).median())
    where = {one: torch.cat(labels) == one for one in FaceClass if (torch.cat(labels) == one).any()}
    parts = {
        f"moved_by_{part}": {
            one.name.lower(): float(torch.cat(moved)[there].median()) / length for one, there in where.items()
        }
        for part, moved in (("share", by_share), ("bend", by_bend))
    }
    return parts | {
        "torso_motion": length,
        "torso_missed": float(torch.cat(of_torso).median()) / length,
        "head_moved": float(torch.cat(of_head).median()) / length,
    }


if __name__ == "__main__":
    tyro.cli(Arm).main()
