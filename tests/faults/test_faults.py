"""What commands say of full and read-only disks, vanished datasets and damaged caches, and what they leave."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import run, training
from killing import speech, tiny
from portraits import write_tiny_portrait

from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig
from ns_talking.evaluation.faces import FaceFinder, FaceTable
from ns_talking.metrics.base import Picture
from ns_talking.utils.plain_errors import explain

Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Makes a disk with the options of a tmpfs."""
    made: list[Path] = []

    def make(options: str) -> Path:
        folder = tmp_path / f"disk{len(made)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"a small disk cannot be made here: {done.stderr.strip()}")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", "-l", folder], check=True)


def failed(script: str, *arguments: object, cwd: Path) -> str:
    printed = run(script, *arguments, cwd=cwd, status=1)
    assert "Traceback" not in printed, printed[-3000:]
    return re.sub(r"\s+", " ", printed)


def test_a_dataset_that_finds_no_room_is_none(disk: Disk, tmp_path: Path) -> None:
    folder = disk("size=300k")
    arguments = ["demo", "--draw-only", "--seconds", 5, "--size", 64, "--output", folder / "demo"]
    assert "The disk is full" in failed("ns-talking", *arguments, cwd=tmp_path)
    assert not list(folder.rglob("transforms.json"))


def test_a_video_that_finds_no_room_is_none(disk: Disk, trained: Path, tmp_path: Path) -> None:
    folder = disk("size=16k")
    sound = speech(tmp_path, 2.0)
    printed = failed(
        "ns-talking", "render", "--load-config", trained, "--audio", sound, "--output", folder / "a.mp4", cwd=tmp_path
    )
    assert "The disk is full" in printed
    assert not (folder / "a.mp4").exists()
    assert all(path.name == ".a.mp4.unfinished" for path in folder.iterdir()), "nothing looks complete"


def test_a_checkpoint_that_finds_no_room_is_none_and_the_one_before_is_kept(disk: Disk, tmp_path: Path) -> None:
    folder = disk("size=200k")
    tiny(tmp_path)
    arguments = training(3)
    arguments[arguments.index("out")] = str(folder)
    assert "The disk is full" in failed("ns-train", *arguments, cwd=tmp_path)
    assert not list(folder.rglob("*.ckpt"))


def test_a_disk_that_may_only_be_read_is_named(disk: Disk, trained: Path, tmp_path: Path) -> None:
    folder = disk("ro")
    sound = speech(tmp_path, 0.4)
    for arguments in (
        ["demo", "--draw-only", "--seconds", 5, "--output", folder / "demo"],
        ["render", "--load-config", trained, "--audio", sound, "--output", folder / "a.mp4"],
    ):
        printed = failed("ns-talking", *arguments, cwd=tmp_path)
        assert str(folder) in printed
        assert "may only be read" in printed or "cannot be written" in printed


def test_a_dataset_that_vanishes_is_named(tmp_path: Path) -> None:
    folder = write_tiny_portrait(tmp_path / "gone", size=32)
    outputs = TalkingPortraitDataParserConfig(data=folder).setup().get_dataparser_outputs(split="train")
    dataset = PortraitDataset(outputs)
    shutil.rmtree(folder)
    with pytest.raises((FileNotFoundError, ValueError), match=r"gone/\w+/000000\.\w+ is missing"):
        dataset.frame(0)


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_faces_of_an_earlier_evaluation_that_are_damaged_are_found_again(tmp_path: Path, damage: str) -> None:
    class Finder(FaceFinder):
        def __init__(self) -> None:
            pass

        def look(self, image: np.ndarray) -> Picture:
            return Picture(image, np.full((5, 3), 2, np.float32))

    def find() -> np.ndarray:
        images = iter([np.zeros((8, 8, 3), np.uint8)] * 2)
        return FaceTable.find(tmp_path, images, 2, 5, Finder()).picture(1, np.zeros((8, 8, 3), np.uint8)).points

    whole = find()
    content = (tmp_path / "points.npy").read_bytes()
    (tmp_path / "points.npy").write_bytes(content[:-8] if damage == "cut" else b"something else")
    np.testing.assert_array_equal(find(), whole)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError("7 requested and 3 written"), "The disk is full. Free some space"),
        (OSError(27, "File too large", "a.mp4"), "A file grew larger than it may while writing a.mp4"),
        (OSError(28, "No space", "/data/.a.12-3-4.partial.npy"), "The disk is full while writing /data. Free"),
        (OSError(30, "Read-only file system", "/data/a"), "The disk may only be read while writing /data/a."),
    ],
)
def test_errors_of_the_disk_are_said_in_words(error: OSError, expected: str) -> None:
    assert expected in explain(error)
