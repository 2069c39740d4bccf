"""Who a portrait shows, and what that person agreed to: `subject.json` in a dataset's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from ns_talking.data.format import SUBJECT
from ns_talking.utils.files import write_json

_LONGEST = 1000


@dataclass(frozen=True)
class Subject:
    """The person shown, and the consent that was given. It is written into the manifest of every video."""

    who: str
    """Who is shown: a name, or a word that the person and you know."""
    consent: str
    """How consent was given, for example `written`, or `myself`."""
    scope: str
    """What was agreed to, for example `research, no publication`."""
    date: str
    """Day of the consent as YYYY-MM-DD."""

    def __post_init__(self) -> None:
        """Refuse what is no record of a consent.

        Raises:
            ValueError: When a part is empty, too long, or the date is none.
        """
        for name, value in asdict(self).items():
            if not value.strip() or len(value) > _LONGEST:
                raise ValueError(
                    f"The record of consent needs {name!r} as a text of 1 to {_LONGEST} characters, "
                    f"found {value[:40]!r}."
                )
        try:
            date.fromisoformat(self.date)
        except ValueError:
            raise ValueError(f"The date of consent has to be like 2026-08-31, found {self.date[:40]!r}.") from None


def read_subject(path: Path) -> Subject | None:
    """Read a record of consent; None where there is none.

    Args:
        path: A file, or the folder of a dataset.

    Raises:
        ValueError: When the file is no record of consent.
    """
    file = path / SUBJECT if path.is_dir() else path
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not JSON ({error}). {_wanted()}") from error
    names = set(Subject.__dataclass_fields__)
    if not isinstance(content, dict) or set(content) != names:
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{file} is no record of consent: found {found}. {_wanted()}")
    try:
        return Subject(**{name: value if isinstance(value, str) else "" for name, value in content.items()})
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def write_subject(folder: Path, subject: Subject) -> None:
    """Put a record of consent into a dataset."""
    write_json(folder / SUBJECT, asdict(subject))


def _wanted() -> str:
    return 'It looks like {"who": "...", "consent": "...", "scope": "...", "date": "2026-08-31"}.'
