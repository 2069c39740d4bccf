"""What each lever of er-nerf is worth: one training per lever, all else as in the preset for a CPU.

```
python benchmarks/levers.py --data DATASET ... --output FOLDER [--levers NAME ...] [--seeds 42]
python benchmarks/levers.py --output FOLDER --table
```

Trainings are shorter and smaller than the preset's, the same for all, and are measured on the end of the training part
(the validation split), so that defaults may be chosen by them. What is complete in FOLDER is kept. `--table` prints the
differences to the preset that the records in FOLDER hold, and keeps the records in benchmarks/results.
"""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timing
import tyro
from nerfstudio.scripts.train import _set_random_seed

from ns_talking.evaluation.protocol import Protocol, RowName
from ns_talking.evaluation.runner import Evaluation, Options
from ns_talking.methods.er_nerf import er_nerf
from ns_talking.pipelines.trainer import PortraitTrainerConfig
from ns_talking.process.landmark_detectors import MediaPipeDetector
from ns_talking.utils.files import write_json
from ns_talking.utils.kernel_cache import keep_few_kernels

PRESET = "preset"
LEVERS: dict[str, tuple[str, ...]] = {
    PRESET: (),
    "one frame in a step": ("--pipeline.datamanager.frames-per-batch", "1"),
    "rays from anywhere": ("--pipeline.datamanager.pixel-sampler.mouth-share", "0"),
    "no lip shape": ("--pipeline.model.audio-code.use-lip-shape", "False"),
    "an audio encoder as well": ("--pipeline.model.audio-code.use-encoder", "True"),
    "tracked lips alone": ("--pipeline.model.audio-code.tracked-share", "1.0"),
    "a longer mean": ("--mean-share", "0.2"),
    "faster decoders": ("--optimizers.decoders.optimizer.lr", "4e-3"),
    "codes from the mean sound": ("--pipeline.model.audio-code.from-mean-sound", "True"),
    "charbonnier": ("--pipeline.model.colour-loss", "charbonnier"),
    "absolute": ("--pipeline.model.colour-loss", "absolute"),
    "refined poses": ("--pipeline.model.pose-refinement", "SO3xR3"),
    "finest 1024": ("--pipeline.model.head.finest-resolution", "1024"),
    "half the step": ("--pipeline.model.step-size", "0.0135", "--pipeline.model.max-samples", "32"),
    "no face surface": ("--pipeline.model.use-face-surface", "False", "--pipeline.model.distortion-weight", "0"),
    "half of the clip": ("talking-portrait", "--train-seconds", "{half}"),
}
"""Options of `ns-train er-nerf`; those that the preset has are taken away."""
ROW = "model@real-torso"
FIGURES = ("psnr", "psnr_head", "psnr_mouth", "lmd", "aperture", "aperture_spread", "eyes")
_METRICS = ("psnr", "lmd", "aperture", "eyes")


@dataclass
class Levers:
    """Train and measure, or print what was measured."""

    output: Path
    """Folder of trainings and records."""
    data: tuple[Path, ...] = ()
    """Datasets."""
    levers: tuple[str, ...] = tuple(LEVERS)
    """Which of them."""
    seeds: tuple[int, ...] = (42,)
    """Seeds of every lever."""
    iterations: int = 300
    """Iterations of every training."""
    working_size: int = 96
    """Side of the frames in px."""
    rays: int = 1_536
    """Rays of a step."""
    max_seconds: float | None = None
    """Length that is measured at most."""
    table: bool = False
    """Print the differences to the preset, and keep the records in benchmarks/results/levers.json."""

    def main(self) -> None:
        """Run what is missing."""
        if self.table:
            records = read(self.output)
            write_json(timing.RESULTS / "levers.json", {"format": "levers-1", "records": records})
            print(table(records))
            return
        wanted = [(data, lever, seed) for seed in self.seeds for data in self.data for lever in self.levers]
        for data, lever, seed in wanted:
            path = self.output / "records" / f"{data.name}_{lever.replace(' ', '-')}_{self.iterations}_seed{seed}.json"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                if len(wanted) == 1:
                    keep_few_kernels()
                    write_json(path, self._run(data, lever, seed))
                else:
                    self._apart(data, lever, seed)
            print(path.stem, json.dumps(json.loads(path.read_text())["figures"]))

    def _apart(self, data: Path, lever: str, seed: int) -> None:
        """Train and measure in a process of its own, so that no training meets what another left."""
        options = {
            "--output": self.output,
            "--data": data,
            "--levers": lever,
            "--seeds": seed,
            "--iterations": self.iterations,
            "--working-size": self.working_size,
            "--rays": self.rays,
            "--max-seconds": self.max_seconds,
        }
        words = [str(word) for option in options.items() for word in option]
        subprocess.run([sys.executable, __file__, *words], check=True)

    def _run(self, data: Path, lever: str, seed: int) -> dict[str, object]:
        _set_random_seed(seed)
        config = self._config(data, lever, seed)
        trainer = config.setup(local_rank=0, world_size=1)
        trainer.setup()
        trainer.train()
        trainer.pipeline.eval()
        rows = tuple(RowName.parse(row) for row in ("real", ROW))
        protocol = Protocol("levers", "levers", "self-reenactment", rows, _METRICS, max_seconds=self.max_seconds)
        folder = config.get_base_dir()
        with MediaPipeDetector(None) as detector:
            options = Options(folder / "evaluation")
            found = Evaluation(trainer.pipeline, config, folder / "config.yml", protocol, detector, options).run()
        row = found.record.row(ROW)
        assert row is not None
        return {
            "data": data.name,
            "lever": lever,
            "options": list(LEVERS[lever]),
            "seed": seed,
            "iterations": self.iterations,
            "working_size": self.working_size,
            "rays": self.rays,
            "frames": row.num_frames,
            "figures": {figure: round(row.values[figure], 4) for figure in FIGURES if figure in row.values},
            "circumstances": timing.circumstances(),
        }

    def _config(self, data: Path, lever: str, seed: int) -> PortraitTrainerConfig:
        config = deepcopy(er_nerf.config)
        assert isinstance(config, PortraitTrainerConfig)
        clip = json.loads((data / "transforms.json").read_text(encoding="utf-8"))
        half = clip["num_frames"] / clip["fps"] / 2
        config = tyro.cli(
            PortraitTrainerConfig,
            default=config,
            config=(tyro.conf.FlagConversionOff,),
            args=[
                *("--data", str(data), "--output-dir", str(self.output), "--experiment-name", data.name),
                *("--timestamp", f"{lever.replace(' ', '-')}_{self.iterations}_seed{seed}", "--vis", "tensorboard"),
                *("--machine.seed", str(seed), "--machine.device-type", "cpu"),
                *("--max-num-iterations", str(self.iterations)),
                *("--pipeline.datamanager.working-size", str(self.working_size)),
                *("--pipeline.datamanager.train-num-rays-per-batch", str(self.rays)),
                *[option.format(half=f"{half:.1f}") for option in LEVERS[lever]],
            ],
        )
        config.pipeline.datamanager.data = data
        config.pipeline.datamanager.dataparser.eval_split = "validation"
        config.logging.local_writer.enable = False
        never = 10**9
        config.steps_per_eval_batch = config.steps_per_eval_image = config.steps_per_save = never
        return config


def read(folder: Path) -> list[dict]:
    """Read all records of a folder."""
    return [json.loads(path.read_text()) for path in sorted((folder / "records").glob("*.json"))]


def table(records: list[dict]) -> str:
    """Set every lever beside the preset: mean differences over seeds, dataset by dataset."""
    lines = [
        f"| data | iterations | rays | lever | seeds | {' | '.join(FIGURES)} |",
        f"|{' --- |' * (5 + len(FIGURES))}",
    ]
    for trained in sorted({_trained(record) for record in records}):
        of_data = [record for record in records if _trained(record) == trained]
        preset = {record["seed"]: record["figures"] for record in of_data if record["lever"] == PRESET}
        for lever in LEVERS:
            found = {record["seed"]: record["figures"] for record in of_data if record["lever"] == lever}
            seeds = sorted(set(found) & set(preset))
            if not seeds:
                continue
            cells = []
            for figure in FIGURES:
                base = [0.0 if lever == PRESET else preset[seed][figure] for seed in seeds]
                values = np.array([found[seed][figure] for seed in seeds]) - base
                cells.append(f"{values.mean():.2f}" if lever == PRESET else f"{values.mean():+.2f}")
            lines.append(f"| {' | '.join(map(str, trained))} | {lever} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _trained(record: dict) -> tuple[str, int, int]:
    """What a record must have in common with the preset's to be set beside it."""
    return record["data"], record["iterations"], record["rays"]


if __name__ == "__main__":
    tyro.cli(Levers).main()
