"""The package as a user and as Nerfstudio meet it: metadata, entry points, README, and rules for every file."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from declared import DATAPARSERS, METHODS
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from nerfstudio.plugins.types import MethodSpecification

from ns_talking.scripts.main import VERBS
from ns_talking.utils.registry import lookup

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def tracked_files() -> list[Path]:
    """Files of the checkout that git does not ignore; all of them where there is no git, as in a source archive."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if found.returncode == 0:
        paths = [ROOT / line for line in found.stdout.splitlines()]
    else:
        paths = [path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.parts)]
    return [path for path in paths if path.is_file()]


def text_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix in {".py", ".md", ".toml", ".sh", ".yml", ".yaml", ""}]


def entry_points(group: str) -> list[importlib.metadata.EntryPoint]:
    return [point for point in importlib.metadata.entry_points(group=group) if point.value.startswith("ns_talking")]


def test_every_method_is_found_under_its_own_name() -> None:
    points = entry_points("nerfstudio.method_configs")
    assert points
    for point in points:
        method = point.load()
        assert isinstance(method, MethodSpecification)
        assert method.config.method_name == point.name
        assert method.description


def test_every_dataparser_is_registered() -> None:
    assert set(DATAPARSERS) == {"talking-portrait", "ad-nerf", "identities"}
    for name in DATAPARSERS:
        assert isinstance(lookup(DATAPARSERS, name, "dataparsers"), DataParserSpecification)


def test_the_metadata_names_licence_and_python() -> None:
    metadata = importlib.metadata.metadata("ns-talking")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == "<3.13,>=3.10"
    assert "ns-talking" in {point.name for point in importlib.metadata.entry_points(group="console_scripts")}


def commands(text: str) -> list[list[str]]:
    """Commands of a document, as words, from its shell blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    return [line.split("#")[0].split() for block in blocks for line in block.splitlines() if line.strip()]


def test_the_readme_begins_with_the_two_commands() -> None:
    assert [command[:2] for command in commands(README)[:2]] == [["make", "demo"], ["make", "test"]]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_commands_of_the_documents_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, flags=re.MULTILINE))
    scripts = {point.name for point in importlib.metadata.entry_points(group="console_scripts")}
    installed = {point.name for point in importlib.metadata.entry_points(group="nerfstudio.method_configs")}
    methods = installed | set(METHODS)
    mentioned = commands(text) + [span.split() for span in re.findall(r"`([^`\n]+)`", text)]
    for program, *arguments in mentioned:
        words = [argument for argument in arguments if not argument.startswith("-")]
        if program == "make" and words:
            assert words[0] in targets, f"make {words[0]}"
        elif program == "ns-talking" and words and words[0] not in ("VERB", "..."):
            assert words[0] in VERBS, f"ns-talking {words[0]}"
        elif program.startswith("ns-") and "*" not in program:
            assert program in scripts, program
            if program == "ns-train" and words:
                assert words[0] in methods, f"ns-train {words[0]}"


@pytest.mark.parametrize("verb", VERBS)
def test_the_options_that_the_readme_gives_a_verb_exist(verb: str) -> None:
    shown = {
        argument
        for program, *arguments in commands(README)
        if program == "ns-talking" and arguments and arguments[0] == verb
        for argument in arguments
        if argument.startswith("--")
    }
    if not shown:
        pytest.skip(f"the README gives {verb} no options")
    done = subprocess.run([sys.executable, "-m", "ns_talking", verb, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {option for option in shown if option not in done.stdout}


def test_links_inside_the_repository_lead_somewhere() -> None:
    for document in (path for path in tracked_files() if path.suffix == ".md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_no_file_holds_more_than_400_lines() -> None:
    code = [path for path in tracked_files() if path.suffix == ".py"]
    long = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in code}
    assert not {name: lines for name, lines in long.items() if lines > 400}


def test_every_module_says_what_it_is() -> None:
    modules = [path for path in (ROOT / "ns_talking").rglob("*.py") if path.name != "__init__.py"]
    silent = [path.relative_to(ROOT).as_posix() for path in modules if not path.read_text().startswith('"""')]
    assert not silent


def test_no_file_names_a_folder_of_one_machine() -> None:
    homes = re.compile(r"(?<![\w.$}])/(?:home|root|Users|work|mnt)/\w")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in text_files()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if homes.search(line)
    ]
    assert not found, "\n".join(found)


def test_nothing_is_left_unfinished() -> None:
    # Spelled in halves, so that this file does not find itself.
    marks = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error")))
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in text_files()
        if path.suffix == ".py"
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if marks.search(line)
    ]
    assert not found, "\n".join(found)


def test_no_large_or_generated_file_is_tracked() -> None:
    assert not [path.relative_to(ROOT).as_posix() for path in tracked_files() if path.stat().st_size > 1 << 20]


def test_every_subject_names_its_source_licence_and_split() -> None:
    for path in (ROOT / "configs" / "subjects").glob("*.yaml"):
        subject = yaml.safe_load(path.read_text())
        assert subject["name"] == path.stem
        assert subject["source"]
        assert subject["licence"]
        (start, train_end), (test_start, end) = subject["split"]["train"], subject["split"]["test"]
        assert (start, train_end, end) == (0, test_start, subject["num_frames"])
        assert train_end == subject["num_frames"] * 10 // 11
        assert subject["duration_s"] * subject["frame_rate_hz"] == pytest.approx(subject["num_frames"])


def test_a_change_of_tools_or_entry_points_keeps_the_environment() -> None:
    program = re.search(r"awk '(.*)' \"\$checkout/pyproject.toml\"", (ROOT / "tools" / "environment.sh").read_text())
    assert program is not None
    decides = subprocess.run(
        ["awk", program[1], ROOT / "pyproject.toml"], capture_output=True, text=True, check=True
    ).stdout
    assert "nerfstudio>=" in decides
    assert "pytest>=" in decides
    assert "er_nerf" not in decides
    assert "[tool." not in decides
