"""A folder of people is read person by person, and says what it lacks."""

from __future__ import annotations

from pathlib import Path

import pytest
from portraits import write_tiny_portrait

from ns_talking.dataparsers.identities import IdentitiesDataParser, IdentitiesDataParserConfig


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    for name in ("cyd", "ada", "ben"):
        write_tiny_portrait(folder / name, num_frames=11, size=32)
    (folder / "notes").mkdir()
    return folder


def parser(people: Path, **options: object) -> IdentitiesDataParser:
    return IdentitiesDataParserConfig(data=people, **options).setup()


def names(people: Path, **options: object) -> list[str]:
    found = parser(people, **options)
    shown = found.get_dataparser_outputs(split="train")
    return [outputs.metadata["portrait"].folder.name for outputs in (shown, *found.others())]


def test_people_come_in_order_with_the_shown_one_first_and_without_those_left_out(people: Path) -> None:
    assert names(people) == ["ada", "ben", "cyd"]
    assert names(people, shown="cyd") == ["cyd", "ada", "ben"]
    assert names(people, left_out=("ada",)) == ["ben", "cyd"]


def test_a_persons_dataset_may_lie_in_a_folder_of_its_own(people: Path, tmp_path: Path) -> None:
    (tmp_path / "dan").mkdir()
    (tmp_path / "dan" / "data").symlink_to(people / "ada")
    (tmp_path / "ada").symlink_to(people / "cyd")
    assert names(tmp_path, shown="dan") == ["ada", "cyd"]


def test_options_reach_everybody(people: Path) -> None:
    found = parser(people, eval_split="validation", validation_fraction=0.5)
    every = [found.get_dataparser_outputs(split="train"), *found.others()]
    assert [len(outputs.cameras) for outputs in every] == [5, 5, 5]


def test_what_is_missing_is_named(people: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no dataset 'dan', it holds: ada, ben, cyd"):
        names(people, left_out=("dan",))
    with pytest.raises(ValueError, match="'ada' cannot be shown and left out"):
        names(people, shown="ada", left_out=("ada",))
    with pytest.raises(ValueError, match="holds no subfolder with a dataset to train on. Make one per person"):
        names(tmp_path)
    with pytest.raises(ValueError, match="It is a dataset itself: leave out `identities`"):
        names(people / "ada")
