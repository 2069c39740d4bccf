"""The commit of a record is that of our checkout, and of nobody else's."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ns_talking.utils.source import commit


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_checkout_names_its_commit_and_says_when_it_has_changed(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    assert commit(package) == git(tmp_path, "rev-parse", "--short", "HEAD")
    (package / "__init__.py").write_text("changed")
    assert commit(package) == f"{git(tmp_path, 'rev-parse', '--short', 'HEAD')}-dirty"


def test_a_package_installed_inside_another_repository_has_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    installed = tmp_path / "venv" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert commit(installed) is None
