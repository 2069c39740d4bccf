"""Laws of files that are complete or absent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ns_talking.utils import files
from ns_talking.utils.files import atomic_path, folder_sha256, write_text


def test_what_was_written_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def syncing(handle: int) -> None:
        events.append(f"sync {os.readlink(f'/proc/self/fd/{handle}').rsplit('.', 1)[-1]}")
        fsync(handle)

    def replacing(source: Path, target: Path) -> None:
        events.append("rename")
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", syncing)
    monkeypatch.setattr(files.os, "replace", replacing)
    if sys.platform == "linux":
        write_text(tmp_path / "a.txt", "text")
        assert events[:2] == ["sync txt", "rename"] and len(events) == 3, "file, rename, folder"


def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.txt") as temporary:
        fail(temporary)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for names in (["1", "2"], ["3"]):
        with atomic_path(tmp_path / "folder") as temporary:
            temporary.mkdir()
            for name in names:
                (temporary / name).touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["3"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_process_left_goes_with_the_next_one_that_writes_the_file(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from ns_talking.utils.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", script, tmp_path / "a.txt"], env=environment, check=False)
    assert len(list(tmp_path.iterdir())) == 1 and not (tmp_path / "a.txt").exists()
    # What lives belongs to somebody.
    with atomic_path(tmp_path / "a.txt") as ours:
        ours.write_text("ours")
        write_text(tmp_path / "a.txt", "another's")
        assert ours.is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_long_name_is_written_too(tmp_path: Path) -> None:
    write_text(tmp_path / f"{'a' * 240}.txt", "text")


def test_a_folders_hash_tells_names_and_contents(tmp_path: Path) -> None:
    hashes = set()
    for name, text in (("a", "1"), ("a", "2"), ("b", "2")):
        folder = tmp_path / f"{name}{text}"
        folder.mkdir()
        (folder / name).write_text(text)
        hashes.add(folder_sha256(folder))
    assert len(hashes) == 3
