"""Laws of a folder of pictures that is written across interruptions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ns_talking.utils.resumable_pictures import ResumablePictureWriter

NUM_FRAMES = 6


def write(folder: Path, stop: int | None = None, content: str = "as it was") -> int:
    """Write the frames that are not there yet, and give how many were; `stop` interrupts before that frame."""
    with ResumablePictureWriter(folder, {"content": content}) as pictures:
        found = pictures.num_frames
        for index in range(found, NUM_FRAMES):
            if index == stop:
                raise KeyboardInterrupt
            pictures.write(np.full((4, 5, 4), 10 * index + 9, np.uint8))
    return found


def test_the_folder_appears_with_every_picture_and_nothing_else(tmp_path: Path) -> None:
    assert write(tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{n:06d}.png" for n in range(NUM_FRAMES)]
    for index in range(NUM_FRAMES):
        image = cv2.imread(str(tmp_path / "out" / f"{index:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert image is not None and (image == 10 * index + 9).all() and image.shape == (4, 5, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_interruption_costs_no_picture(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", stop=4)
    assert not (tmp_path / "out").exists()
    assert write(tmp_path / "out") == 4
    assert len(list((tmp_path / "out").iterdir())) == NUM_FRAMES


@pytest.mark.parametrize(("damage", "kept"), [("content", 0), ("cut", 2), ("missing", 2)])
def test_what_does_not_belong_to_the_output_is_made_again(tmp_path: Path, damage: str, kept: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", stop=4)
    third = tmp_path / ".out.unfinished" / "000002.png"
    if damage == "cut":
        third.write_bytes(third.read_bytes()[:-5])
    elif damage == "missing":
        third.unlink()
    assert write(tmp_path / "out", content="other" if damage == "content" else "as it was") == kept
    assert len(list((tmp_path / "out").iterdir())) == NUM_FRAMES


def test_an_interruption_before_the_first_picture_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", stop=0)
    assert not list(tmp_path.iterdir())


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    with ResumablePictureWriter(tmp_path / "out", {}) as pictures:
        with pytest.raises(ValueError, match=r"Another process is writing .*out"):
            write(tmp_path / "out")
        pictures.write(np.zeros((4, 5, 4), np.uint8))
    assert len(list((tmp_path / "out").iterdir())) == 1
