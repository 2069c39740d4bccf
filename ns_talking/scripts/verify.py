"""`ns-talking verify FILE`: whether a video is marked as synthetic, and unchanged since."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from ns_talking.provenance.verification import Finding, Status, examine, with_watermark
from ns_talking.utils.progress import CONSOLE

STATUSES: dict[Status, tuple[int, str]] = {
    "marked": (0, "is marked as synthetic, and unchanged since it was signed."),
    "unmarked": (3, "carries no mark of a synthetic video. That does not show that it is real: marks can be removed."),
    "altered": (4, "was changed, cut or damaged after it was signed."),
    "watermark": (6, "carries the watermark of ns-talking in its pictures, and lost the rest of its mark on its way."),
    "metadata": (5, "says in its plain metadata that it is synthetic, and no signature backs that up."),
}
"""What the command exits with, and what it says, by what was found. 1 is an error, 2 a wrong option."""


@dataclass
class Verify:
    """Tell whether a video is marked as synthetic, show its C2PA manifest, and check that nothing was changed since.

    The watermark in the pictures is looked for in the first half minute, in a process with limits.

    Nothing is sent or fetched. Exit status: 0 marked and unchanged, 1 the file cannot be examined, 3 not marked,
    4 changed after it was signed, 5 marked in its plain metadata alone, 6 by the watermark in its pictures alone.
    """

    file: tyro.conf.Positional[Path]
    """The mp4."""
    json: bool = False
    """Print one JSON object instead, for programs."""

    watermark: bool = True
    """Look for the watermark in the pictures as well, which takes seconds."""

    def main(self) -> int:
        """Examine the file and say what was found.

        Returns:
            The exit status.
        """
        path = self.file.expanduser()
        finding = examine(path)
        finding = with_watermark(finding, path) if self.watermark else finding
        status, words = STATUSES[finding.status]
        if self.json:
            _print(json.dumps(vars(finding), indent=2))
        else:
            _print(f"{json.dumps(str(self.file), ensure_ascii=False)[1:-1]} {words}")
            _show(finding)
        return status


def _show(finding: Finding) -> None:
    for problem in finding.problems:
        _print(f"Does not match: {json.dumps(problem)[1:-1]}")
    if finding.signer:
        trust = "trusted" if finding.trusted else "not trusted: anybody can sign under any name"
        _print(f"Signed by {json.dumps(finding.signer)} ({trust}); {finding.signed_at or 'no timestamp'}")
    if finding.source_types:
        _print(f"Digital source type: {json.dumps([source.rsplit('/', 1)[-1] for source in finding.source_types])}")
    if finding.watermark:
        _print(f"Watermark: {finding.watermark} ({finding.watermark_score:.1f} standard deviations above noise)")
    if finding.comment:
        _print(f"Comment: {json.dumps(finding.comment)}")
    if finding.manifest:
        _print(f"Manifest: {json.dumps(finding.manifest, indent=2)}")


def _print(text: str) -> None:
    # JSON's escapes keep what a stranger wrote into a file from steering the terminal, and so does "no markup".
    CONSOLE.print(text, markup=False, highlight=False, soft_wrap=True)
