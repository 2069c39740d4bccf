"""Laws of the record of consent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ns_talking.data.subject import Subject, read_subject, write_subject

SUBJECT = Subject("Ada", "written", "research", "2026-08-31")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_subject(tmp_path) is None
    write_subject(tmp_path, SUBJECT)
    assert read_subject(tmp_path) == read_subject(tmp_path / "subject.json") == SUBJECT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "no record of consent: found list"),
        ('{"who": "Ada"}', r"no record of consent: found \['who'\]"),
        (json.dumps(vars(SUBJECT) | {"who": " "}), "needs 'who' as a text"),
        (json.dumps(vars(SUBJECT) | {"scope": "x" * 1001}), "needs 'scope' as a text of 1 to 1000"),
        (json.dumps(vars(SUBJECT) | {"consent": 1}), "needs 'consent' as a text"),
        (json.dumps(vars(SUBJECT) | {"date": "yesterday"}), "date of consent has to be like 2026-08-31"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "subject.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_subject(tmp_path)
