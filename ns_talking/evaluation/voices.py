"""Rows of several voices: their names, and the means over all of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ns_talking.evaluation.record import RowRecord, RunRecord

ALL = "all voices"
"""Begins the names of the rows with means."""


def voice_row(voice: str, row: str) -> str:
    """Name a row of one voice."""
    return f"{voice}: {row}"


def over_voices(rows: Sequence[RowRecord]) -> list[RowRecord]:
    """Average rows of several voices: one row with the means for each row of a portrait, each voice counting the same.

    A figure that one voice lacks is averaged over the others, which its note says; one that all lack keeps the reason.
    """
    kinds: dict[str, list[RowRecord]] = {}
    for row in rows:
        kinds.setdefault(row.name.rpartition(": ")[2], []).append(row)
    return [_mean(name, members) for name, members in kinds.items() if len(members) > 1]


def _mean(name: str, rows: Sequence[RowRecord]) -> RowRecord:
    values, notes, missing = {}, {}, {}
    for key in dict.fromkeys(key for row in rows for key in (*row.values, *row.missing)):
        found = [row.values[key] for row in rows if key in row.values]
        if found:
            values[key] = statistics.fmean(found)
            spread = f", from {min(found):.3g} to {max(found):.3g}" if len(found) > 1 else ""
            notes[key] = f"mean over {len(found)} of {len(rows)} voices{spread}"
        else:
            missing[key] = next(row.missing[key] for row in rows if key in row.missing)
    return RowRecord(
        name=voice_row(ALL, name),
        label=voice_row(ALL, rows[0].label.rpartition(": ")[2]),
        values=values,
        missing=missing,
        notes=notes,
        num_frames=sum(row.num_frames for row in rows),
        faces_missed=sum(row.faces_missed for row in rows),
    )


def shown_row(record: RunRecord, shown: str) -> str:
    """Name the row that trainings are compared by: that of the protocol, over all voices where there are several."""
    names = [row.name for row in record.rows]
    wanted = (shown, voice_row(ALL, shown), *(name for name in names if name.rpartition(": ")[2] == shown), names[-1])
    return next(name for name in wanted if name in names)
