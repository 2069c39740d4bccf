"""Asking who a clip shows and what that person agreed to, on a terminal, in a file or by options."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

from ns_talking.data.format import SUBJECT
from ns_talking.data.subject import Subject, read_subject
from ns_talking.utils.progress import CONSOLE

_QUESTIONS = {
    "who": "Who is shown?",
    "consent": "How did that person consent (written, spoken, myself)?",
    "scope": "To what (for example: research, no publication)?",
}


def asked_subject(file: Path | None, dataset: Path) -> Subject | None:
    """Get a record of consent for a dataset that has none: from a file, else from whoever sits at the terminal.

    Nobody is asked unless input and output are a terminal, so that no script ever waits for an answer.

    Args:
        file: What `--subject` names.
        dataset: Folder of the dataset.

    Returns:
        The new record; None where nobody gave one, or the dataset keeps the one it has.

    Raises:
        FileNotFoundError: When the file is missing.
        ValueError: When the file or an answer is no record of consent.
    """
    if file is not None:
        found = read_subject(file.expanduser())
        if found is None:
            raise FileNotFoundError(f"There is no record of consent {file}. Check the path of --subject.")
        return found
    kept = read_subject(dataset / SUBJECT) is not None
    if kept or not (sys.stdin.isatty() and CONSOLE.is_terminal):
        return None
    CONSOLE.print("Portraits need the consent of who is shown. The answers go into the dataset and into every video.")
    answers: dict[str, str] = {}
    for name, question in _QUESTIONS.items():
        answers[name] = CONSOLE.input(f"{question} (Enter leaves it out) ", markup=False).strip()
        if not answers[name]:
            return None
    today = date.today().isoformat()
    return Subject(**answers, date=CONSOLE.input(f"Since when? (Enter: {today}) ", markup=False).strip() or today)
