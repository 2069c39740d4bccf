"""Adapt few-shot portraits to seconds of a new person, with and without a base, and measure them on held-out frames.

    python benchmarks/few_shot.py --data DATASET --output FOLDER --arms scratch base=CONFIG mean slots both-fields

An arm is trained for the same iterations and seeds as every other. `scratch` starts from nothing, `NAME=CONFIG` from
the base of that config.yml (`few_shot_base.py` trains one, with everyone's own sound or with sounds exchanged). Some
names say what differs, with a base or without: `mean` and `slots` blend references otherwise, `painted` lets fields
paint instead of correcting the colours of the pictures, `shared` lets the field that is not told the sound see what the
sound chose for the other, `both-fields` sends every ray through both fields (an overlap of 1), `dfrf` is that method.
What is complete is kept; the records lie in FOLDER, one per arm and seed, with what follows the sound in them: how far
another sound changes the picture inside and outside the lower half of the face, with both fields and with the one alone
that is not told the sound, and how the attention's weights correlate with the likeness of sounds and of lips. `--take
FILE` puts all records of FOLDER, what they say of each arm, and what filmed frames alone reach into one file.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
import tyro
from scipy.stats import spearmanr
from timing import circumstances

from ns_talking.audio.base import AudioFeatures
from ns_talking.data.face_boxes import face_boxes
from ns_talking.data.format import HEAD_REGIONS
from ns_talking.data.landmarks import scheme
from ns_talking.data.lip_shape import lip_shapes
from ns_talking.data.lower_face import lower_half_face
from ns_talking.driving.track import DrivingTrack
from ns_talking.fields.branches import BranchRays
from ns_talking.methods.ae_nerf import AENeRFModelConfig, ae_nerf
from ns_talking.methods.dfrf import dfrf
from ns_talking.methods.few_shot import FewShotModel
from ns_talking.metrics.image import psnr
from ns_talking.metrics.landmark_distance import lip_landmark_distance
from ns_talking.modules.aggregation import AudioAwareAggregation
from ns_talking.pipelines.phases import PhasesConfig
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.process.landmark_detectors import MediaPipeDetector
from ns_talking.rendering.layers import premultiplied_over
from ns_talking.utils.images import write_image

Record = dict[str, Any]
_LANDMARK_SIZE = 512
_SUMMARY = (
    "step_ms",
    "psnr",
    "psnr_over_real_torso",
    "psnr_head",
    "psnr_mouth",
    "lmd",
    "change_ratio",
    "independent_field_max_levels",
)
"""Figures that are told of each arm."""


@dataclass
class FewShot:
    """Adapt, measure, write records."""

    data: Path
    """Dataset of the new person."""
    output: Path
    """Folder of the records."""
    arms: tuple[str, ...] = ("scratch",)
    """What to train, as the file's description says."""
    seeds: tuple[int, ...] = (42,)
    """Seeds of every arm."""
    seconds: float = 5.0
    """Length of the clip to adapt to, in seconds."""
    iterations: int = 300
    """Iterations of every arm."""
    num_frames: int = 9
    """Held-out frames that are rendered, spread evenly."""
    split_frames: int = 2
    """Held-out frames that are rendered with another sound, for each of two ways; 0 leaves that out."""
    eval_split: Literal["test", "validation"] = "test"
    """Held-out frames: the clip's own, or the end of the training part, to choose settings on."""
    take: Path | None = None
    """File that keeps all records of the folder."""

    def main(self) -> None:
        """Run all arms."""
        self.output.mkdir(parents=True, exist_ok=True)
        for seed in self.seeds:
            for arm in self.arms:
                path = self.output / f"{arm.partition('=')[0]}_seed{seed}.json"
                if not path.is_file():
                    record = self._run(arm, seed)
                    path.write_text(json.dumps(record, indent=2) + "\n")
                record = json.loads(path.read_text())
                print(path.stem, json.dumps({name: value for name, value in record.items() if name in _SUMMARY}))
        if self.take is not None:
            records = [json.loads(path.read_text()) for path in sorted(self.output.glob("*_seed*.json"))]
            filmed = filmed_frames(self._pipeline("scratch", 42), self.num_frames)
            taken = {"filmed": filmed, "arms": summary(records), "runs": records}
            self.take.write_text(json.dumps(taken, indent=2) + "\n")

    def _run(self, arm: str, seed: int) -> Record:
        torch.manual_seed(seed)
        pipeline = self._pipeline(arm, seed)
        attention_before = attention(pipeline)
        step_ms = train(pipeline, self.iterations)
        pipeline.eval()
        options = {"arm": arm.partition("=")[0], "seed": seed, "seconds": self.seconds, "iterations": self.iterations}
        record = {
            "options": options | {"frames": self.num_frames, "eval_split": self.eval_split},
            "command": shlex.join(["python", *(re.sub(r"/\S*/", "", part) for part in sys.argv)]),
            "circumstances": circumstances(),
            "step_ms": step_ms,
            **quality(pipeline, self.num_frames, self.output / f"{options['arm']}_seed{seed}.png"),
            **(split(pipeline, self.split_frames) if self.split_frames else {}),
            "attention_before": attention_before,
            "attention_after": attention(pipeline),
        }
        return record | (self._overlap_costs(pipeline) if arm == "both-fields" else {})

    def _overlap_costs(self, pipeline: PortraitPipeline) -> Record:
        """Time what both fields cost in networks of either size, where each field looks up for itself."""
        config = deepcopy(pipeline.config)
        config.model = AENeRFModelConfig(coarse_samples=12, fine_samples=12)
        config.datamanager.train_num_rays_per_batch = 512
        config.model.look_up.soundless = True
        large = config.setup(device="cpu", test_mode="val")
        return {"overlap": overlap_cost(pipeline, 24), "overlap_of_paper_sizes": overlap_cost(large, 3)}

    def _pipeline(self, arm: str, seed: int) -> PortraitPipeline:
        name, _, base = arm.partition("=")
        config = deepcopy((dfrf if name == "dfrf" else ae_nerf).config.pipeline)
        config.datamanager.data = self.data
        config.datamanager.seed = seed
        config.datamanager.dataparser = replace(
            config.datamanager.dataparser, train_seconds=self.seconds, eval_split=self.eval_split
        )
        config.phases = config.phases.stretched(self.iterations)
        if base:
            config.model.base = Path(base)
        if name in ("mean", "slots"):
            config.model.look_up.aggregation = name
        elif name == "painted":
            config.model.look_up.colours = False
        elif name == "shared":
            config.model.look_up.soundless = False
        elif name == "both-fields":
            config.model.overlap = 1.0
        elif not base and name not in ("scratch", "dfrf"):
            known = "scratch, mean, slots, painted, shared, both-fields, dfrf, NAME=CONFIG"
            raise ValueError(f"There is no arm {arm!r}. Known: {known}.")
        return config.setup(device="cpu", test_mode="val")


def train(pipeline: PortraitPipeline, iterations: int) -> float:
    """Train as the preset does; give the median processor time of a step in ms."""
    optimizers, schedulers = [], []
    for name, parameters in pipeline.get_param_groups().items():
        group = ae_nerf.config.optimizers[name]
        optimizers.append(group["optimizer"].setup(params=parameters))
        schedule = replace(group["scheduler"], phases=pipeline.config.phases)
        schedulers.append(schedule.setup().get_scheduler(optimizers[-1], group["optimizer"].lr))
    times = []
    for step in range(iterations):
        start = time.process_time()
        for optimizer in optimizers:
            optimizer.zero_grad()
        _, loss_dict, _ = pipeline.get_train_loss_dict(step)
        torch.stack(list(loss_dict.values())).sum().backward()
        for optimizer, schedule in zip(optimizers, schedulers, strict=True):
            optimizer.step()
            schedule.step()
        times.append(time.process_time() - start)
    return float(np.median(times)) * 1e3


def overlap_cost(pipeline: PortraitPipeline, num_steps: int) -> Record:
    """Time steps of the head in turns at the paper's overlap and at 1: processor time of both directions in ms."""
    model = pipeline.portrait_model
    assert isinstance(model, FewShotModel)
    pipeline.config.phases = PhasesConfig(head=num_steps, lips=0, torso=0)
    pipeline.train()
    times: dict[float, list[float]] = {0.4: [], 1.0: []}
    for step in range(num_steps):
        for model.config.overlap, found in times.items():
            start = time.process_time()
            _, loss_dict, _ = pipeline.get_train_loss_dict(step)
            torch.stack(list(loss_dict.values())).sum().backward()
            found.append(1e3 * (time.process_time() - start))
    some, every = (float(np.median(found)) for found in times.values())
    return {"step_ms_at_0.4": some, "step_ms_at_1": every, "ratio": some / every}


def summary(records: list[Record]) -> Record:
    """Give mean, least and most over the seeds of each arm."""
    arms: dict[str, list[Record]] = {}
    for record in records:
        arms.setdefault(record["options"]["arm"], []).append(record)
    result: Record = {}
    for arm, runs in arms.items():
        result[arm] = {"seeds": [run["options"]["seed"] for run in runs]}
        for name in _SUMMARY:
            if values := [run[name] for run in runs if run.get(name) is not None]:
                result[arm][name] = {"mean": float(np.mean(values)), "least": min(values), "most": max(values)}
    return result


def quality(pipeline: PortraitPipeline, num_frames: int, sheet: Path) -> Record:
    """Compare held-out frames: whole, over the real torso, the head alone, the mouth, and the lips' landmarks.

    The sheet shows them: the filmed frames above, the head over the filmed torso, and all as it is rendered.
    """
    shown: list[torch.Tensor] = []
    dataset, model = pipeline.datamanager.eval_dataset, pipeline.portrait_model
    values: dict[str, list[float]] = {}
    with MediaPipeDetector(None) as detector:
        for row in rows_of(dataset, num_frames):
            batch = dataset[row]
            outputs = model.get_outputs_for_camera(dataset.cameras[row : row + 1])
            target, own = batch["image"], outputs["rgb"]
            over_real = premultiplied_over(outputs["head_rgb"], outputs["accumulation"], batch["behind"])
            shown.append(torch.cat([target, over_real, own]))
            head = torch.from_numpy(np.isin(batch["parsing"].numpy(), HEAD_REGIONS))
            x0, y0, x1, y1 = face_boxes(
                dataset.portrait, [dataset.frames[row].index], dataset.width, dataset.height
            ).mouth[0]
            found: dict[str, float | torch.Tensor] = {
                "psnr": psnr(own, target),
                "psnr_over_real_torso": psnr(over_real, target),
                "psnr_head": psnr(own, target, head),
                "psnr_mouth": psnr(over_real[y0:y1, x0:x1], target[y0:y1, x0:x1]),
            }
            faces = [detector.detect(enlarged(image)) for image in (over_real, target)]
            found["faces_found"] = float(all(faces))
            if all(faces):
                points = [face[0].points[None] for face in faces]
                found["lmd"] = lip_landmark_distance(points[0], points[1], scheme(detector.scheme))[0]
            for name, value in found.items():
                values.setdefault(name, []).append(float(value))
    write_image(sheet, (torch.cat(shown, dim=1).clamp(0, 1) * 255).round().byte().numpy()[..., ::-1])
    return {name: float(np.mean(found)) for name, found in values.items()}


def filmed_frames(pipeline: PortraitPipeline, num_frames: int) -> Record:
    """Compare held-out frames with the mean of the training frames, and with the one whose head pose is nearest."""
    train, test = pipeline.datamanager.train_dataset, pipeline.datamanager.eval_dataset
    images = torch.from_numpy(np.stack([train.frame(row).image for row in range(len(train))])).float() / 255
    poses = train.cameras.camera_to_worlds
    rows = rows_of(test, num_frames)
    values: Record = {"mean": {"psnr_head": [], "psnr_mouth": []}, "nearest": {"psnr_head": [], "psnr_mouth": []}}
    for row in rows:
        target = test[row]["image"]
        head = torch.from_numpy(np.isin(test.frame(row).parsing, HEAD_REGIONS))
        boxes = face_boxes(test.portrait, [test.frames[row].index], test.width, test.height)
        x0, y0, x1, y1 = boxes.mouth[0]
        nearest = int((poses - test.cameras.camera_to_worlds[row]).square().sum(dim=(1, 2)).argmin())
        for name, shown in (("mean", images.mean(dim=0)), ("nearest", images[nearest])):
            values[name]["psnr_head"].append(psnr(shown, target, head))
            values[name]["psnr_mouth"].append(psnr(shown[y0:y1, x0:x1], target[y0:y1, x0:x1]))
    return {
        name: {figure: float(np.mean([float(value) for value in found])) for figure, found in figures.items()}
        for name, figures in values.items()
    }


@torch.no_grad()
def split(pipeline: PortraitPipeline, num_frames: int) -> Record:
    """Swap the sound and see where the picture changes, with both fields and without the one that is told it."""
    dataset, model = pipeline.datamanager.eval_dataset, pipeline.portrait_model
    track, layout = model.track, scheme(dataset.portrait.landmark_scheme)
    scale = np.array([dataset.width / dataset.portrait.width, dataset.height / dataset.portrait.height])
    changes: dict[str, list[float]] = {"inside": [], "outside": [], "independent_field": []}
    for row in rows_of(dataset, num_frames):
        index = dataset.frames[row].index
        camera = dataset.cameras[row : row + 1]
        points = dataset.portrait.landmarks[index, :, :2] * scale
        lower = torch.from_numpy(lower_half_face(dataset.frame(row).parsing, points, layout))
        pictures = {True: [], False: []}
        for both in pictures:
            for sound in (track, shifted(track)):
                model.track = sound
                pictures[both].append(head_of(model, camera, both))
        model.track = track
        change = (pictures[True][0] - pictures[True][1]).abs().mean(dim=-1)
        head = torch.from_numpy(np.isin(dataset.frame(row).parsing, HEAD_REGIONS))
        changes["inside"].append(float(change[lower].mean()))
        changes["outside"].append(float(change[head & ~lower].mean()))
        changes["independent_field"].append(float((pictures[False][0] - pictures[False][1]).abs().max()))
    levels = {name: 255 * float(np.mean(found)) for name, found in changes.items()}
    return {
        "change_inside_levels": levels["inside"],
        "change_outside_levels": levels["outside"],
        "change_ratio": levels["inside"] / max(levels["outside"], 1e-6),
        "independent_field_max_levels": levels["independent_field"],
    }


def head_of(model: FewShotModel | Any, camera: Any, both: bool) -> torch.Tensor:  # Any: Nerfstudio's cameras.
    """Render the head by both fields, or by the one alone that is not told the sound."""
    of_all = BranchRays.all_of_both

    def alone(like: torch.Tensor) -> BranchRays:
        every = of_all(like)
        return BranchRays(~every.aware, every.independent)

    if not both:
        BranchRays.all_of_both = staticmethod(alone)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        return model.get_outputs_for_camera(camera)["head_rgb"]
    finally:
        BranchRays.all_of_both = staticmethod(of_all)  # pyright: ignore[reportAttributeAccessIssue]


def shifted(track: DrivingTrack) -> DrivingTrack:
    """Let every frame hear what is heard a third of the clip later; poses and blinks stay."""
    table = track.features
    assert isinstance(table, AudioFeatures)
    return replace(track, features=replace(table, values=np.roll(np.asarray(table.values), -len(table.values) // 3, 0)))


@torch.no_grad()
def attention(pipeline: PortraitPipeline, num_draws: int = 2_000) -> Record | None:
    """Correlate the first block's weights with the likeness of sounds and of lips, over held-out frames.

    Every held-out frame is paired many times with training frames drawn at random; values are compared within a draw.
    """
    model = pipeline.portrait_model
    assert isinstance(model, FewShotModel)
    aggregation = model.look_up.aggregation
    if not isinstance(aggregation, AudioAwareAggregation):
        return None
    training = model.training
    model.eval()
    test = np.array([frame.index for frame in pipeline.datamanager.eval_dataset.frames])
    train_frames = np.array([frame.index for frame in pipeline.datamanager.train_dataset.frames])
    codes = model.encode_audio(replace(model.track.at_frames(torch.arange(model.track.num_frames))))
    layout = scheme(model.portrait.landmark_scheme)
    shapes = lip_shapes(model.portrait.landmarks, layout).reshape(model.track.num_frames, -1)
    random = np.random.default_rng(0)
    columns: dict[str, list[np.ndarray]] = {"weight": [], "sound": [], "lips": [], "shuffled": []}
    for _ in range(num_draws):
        frame = int(random.choice(test))
        drawn = random.choice(train_frames, 4, replace=False)
        weight = aggregation.frame_weights(codes[frame : frame + 1], codes[drawn])[0].numpy()
        wrong = random.choice(train_frames, 4, replace=False)
        shuffled = aggregation.frame_weights(codes[frame : frame + 1], codes[wrong])[0].numpy()
        sound = torch.cosine_similarity(codes[frame : frame + 1], codes[drawn]).numpy()
        lips = -np.linalg.norm(shapes[drawn] - shapes[frame], axis=1)
        for name, values in (("weight", weight), ("sound", sound), ("lips", lips), ("shuffled", shuffled)):
            columns[name].append(values.argsort().argsort())
    model.train(training)
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    return {
        "sound": float(spearmanr(joined["weight"], joined["sound"]).statistic),
        "lips": float(spearmanr(joined["weight"], joined["lips"]).statistic),
        "lips_with_other_sound": float(spearmanr(joined["shuffled"], joined["lips"]).statistic),
    }


def rows_of(dataset: Any, number: int) -> list[int]:  # Any: a split of any kind.
    """Spread rows evenly over a split."""
    return np.unique(np.linspace(0, len(dataset) - 1, number).round().astype(int)).tolist()


def enlarged(image: torch.Tensor) -> np.ndarray:
    """Give a picture as bytes at the size at which landmarks are found."""
    pixels = (image.clamp(0, 1) * 255).round().byte().numpy()
    return cv2.resize(pixels, (_LANDMARK_SIZE, _LANDMARK_SIZE), interpolation=cv2.INTER_CUBIC)


if __name__ == "__main__":
    tyro.cli(FewShot).main()
