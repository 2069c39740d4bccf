"""Train a base of several people, with their own sounds or with those of each other.

    python benchmarks/few_shot_base.py --people FOLDER --output FOLDER --left-out ada --iterations 1000
    python benchmarks/few_shot_base.py --people FOLDER --output FOLDER --left-out ada --iterations 1000 --exchange

With `--exchange` each person's frames are trained with what the next person says: the base then knows faces, and has
learned nothing of how sound moves them. What a base whose sounds are exchanged lacks is what sound taught the other.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import tyro

from ns_talking.data.format import AUDIO, FEATURES, read_portrait
from ns_talking.utils.commands import run


@dataclass
class FewShotBase:
    """Train a base."""

    people: Path
    """Folder with a dataset per person."""
    output: Path
    """Folder of the training."""
    left_out: tuple[str, ...] = ()
    """People to test on."""
    iterations: int = 1_000
    """Iterations of the base."""
    seed: int = 42
    """Seed of the base."""
    exchange: bool = False
    """Whether everyone is heard with the sound of the next one."""
    shared: bool = False
    """Whether the field that is not told the sound sees what the sound chose for the other, as in AE-NeRF."""

    def main(self) -> None:
        """Exchange what is to be exchanged, and train."""
        people = exchanged(self.people, self.left_out, self.output / "people") if self.exchange else self.people
        command = ["ns-train", "ae-nerf-base", "--data", str(people), "--output-dir", str(self.output)]
        command += ["--experiment-name", "runs", "--timestamp", "exchanged" if self.exchange else "base"]
        command += ["--machine.device-type", "cpu", "--machine.seed", str(self.seed), "--vis", "tensorboard"]
        command += ["--max-num-iterations", str(self.iterations)]
        command += ["--pipeline.model.look-up.soundless", str(not self.shared), "identities"]
        run(command if self.exchange else [*command, *(["--left-out", *self.left_out] if self.left_out else [])])


def exchanged(people: Path, left_out: tuple[str, ...], output: Path) -> Path:
    """Write datasets of the same people, each with the sound of the next one in alphabetical order.

    Pictures are linked; the last one is heard with the sound of the first.

    Args:
        people: Folder with a dataset per person, in its subfolder or in `data` there.
        left_out: Names of those who stay out.
        output: Folder of the new datasets; what lies there is replaced.

    Raises:
        ValueError: When there are less than two people, or when their clips do not last equally long.
    """
    datasets = {
        folder.name: folder / "data" if (folder / "data").is_dir() else folder
        for folder in sorted(people.iterdir())
        if folder.is_dir() and folder.name not in left_out
    }
    lengths = {name: read_portrait(dataset).num_frames for name, dataset in datasets.items()}
    if len(datasets) < 2 or len(set(lengths.values())) > 1:
        raise ValueError(f"Sounds are exchanged among two or more clips of one length, found frames: {lengths}.")
    shutil.rmtree(output, ignore_errors=True)
    names = list(datasets)
    for name, heard in zip(names, [*names[1:], names[0]], strict=True):
        (output / name).mkdir(parents=True)
        for part in datasets[name].iterdir():
            of = datasets[heard] if part.name in (AUDIO, FEATURES) else datasets[name]
            (output / name / part.name).symlink_to((of / part.name).resolve())
    return output


if __name__ == "__main__":
    tyro.cli(FewShotBase).main()
