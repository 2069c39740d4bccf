"""Report on a processed clip: checks with advice, contact sheets and plots, in one `report.html`."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ns_talking.audio.io import read_audio
from ns_talking.data.format import SAMPLE_RATE_HZ
from ns_talking.process import report_plots
from ns_talking.process.checks import judge
from ns_talking.process.clip_facts import ClipFacts, measure
from ns_talking.process.contact_sheets import ContactSheets
from ns_talking.process.frame_pool import UsableFrames, spread, usable_frames
from ns_talking.process.report_page import page
from ns_talking.process.step import ProcessSettings, Progress, Workspace
from ns_talking.process.verdicts import VERDICTS, as_json
from ns_talking.utils.files import write_json, write_text
from ns_talking.utils.html_page import Picture, Section, photo
from ns_talking.utils.verdicts import Verdict

_NUM_TILES = 12
_NUM_LAYERS = 4
_WAVEFORM_S = 600.0
"""Length of sound that is drawn sample by sample, at most."""


class ReportStep:
    """Writes `report.html`, and the verdicts to `work/checks.json`."""

    name = "report"
    needs = (
        "frames",
        "soundtrack",
        "landmarks",
        "head_pose",
        "parsing",
        "background",
        "torso",
        "blink",
        "split",
        "features",
    )
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """Files and folders that exist when the step is done."""
        return [workspace.report, workspace.work(VERDICTS)]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Only the settings that affect its outputs."""
        return {}

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Do the step."""
        frames = usable_frames(workspace)
        facts = measure(workspace, progress)
        verdicts = judge(facts)
        write_json(workspace.work(VERDICTS), as_json(verdicts))
        sections = [*_sheets(workspace, frames, facts, progress), *_plots(workspace, facts)]
        manifest = json.loads(workspace.manifest.read_text(encoding="utf-8")) if workspace.manifest.is_file() else {}
        text = page(
            title=workspace.video.name,
            summary=_summary(facts, verdicts),
            verdicts=verdicts,
            sections=sections,
            tables=_tables(workspace, manifest),
            next_command=f"ns-train er-nerf --data {shlex.quote(str(workspace.folder))}",
        )
        write_text(workspace.report, text)
        counts = {level: sum(verdict.level == level for verdict in verdicts) for level in ("pass", "warn", "fail")}
        return {**counts, "lag_ms": round(facts.lag_s * 1000)}


def _failed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.level == "fail"]


def _summary(facts: ClipFacts, verdicts: Sequence[Verdict]) -> str:
    size = f"{facts.num_frames} frames, {facts.duration_s:.1f} s, {facts.width} x {facts.height}."
    failed, warned = len(_failed(verdicts)), sum(verdict.level == "warn" for verdict in verdicts)
    if failed:
        return f"{size} {failed} of {len(verdicts)} checks failed: expect a disappointing portrait, see what to do."
    if warned:
        return f"{size} Good to train on; {warned} of {len(verdicts)} checks suggest what would make it better."
    return f"{size} All {len(verdicts)} checks passed."


def _sheets(workspace: Workspace, frames: UsableFrames, facts: ClipFacts, progress: Progress) -> list[Section]:
    sheets = ContactSheets(workspace, frames)
    tiles = spread(frames.indices, _NUM_TILES)
    errors = np.nan_to_num(facts.reprojection_px, nan=-1.0)
    worst = sorted(np.argsort(errors)[-_NUM_TILES // 2 :].tolist())
    with progress("Drawing the report", total=6, unit="sheets") as advance:

        def drawn(image: np.ndarray, label: str) -> Picture:
            advance()
            return photo(image, label)

        return [
            Section(
                "Head pose",
                "Red points to the image's right, green out of the face, blue up; the axes start inside the head and "
                "have to turn with it.",
                [drawn(sheets.axes(tiles), "axes of the head on frames of the clip")],
            ),
            Section(
                "Landmarks",
                "Points have to sit on lips, lids and jaw. The second sheet shows the frames that fit worst.",
                [
                    drawn(sheets.landmarks(tiles), "landmarks on frames of the clip"),
                    drawn(sheets.landmarks(worst), "landmarks on the frames with the largest errors"),
                ],
            ),
            Section(
                "Parsing",
                "Head with hair red, neck and torso green, lips magenta, eyes yellow, inner mouth cyan; the background "
                "stays as it is but darker. The edge has to follow hair and jaw.",
                [drawn(sheets.parsing(tiles), "regions of frames of the clip")],
            ),
            Section(
                "Layers",
                "Frame over the plate, torso layer with the strip under the chin, torso over the plate. No part of the "
                "head may be left in the torso.",
                [drawn(sheets.layers(spread(frames.indices, _NUM_LAYERS)), "layers of frames of the clip")],
            ),
            Section(
                "Background plate",
                "No ghost of the person may show. The hatched part was never seen and is filled in.",
                [drawn(sheets.plate(), "background plate, and which part of it was never seen")],
            ),
        ]


def _plots(workspace: Workspace, facts: ClipFacts) -> list[Section]:
    samples = read_audio(workspace.audio, SAMPLE_RATE_HZ, 0.0, min(facts.duration_s, _WAVEFORM_S))

    def plot(content: bytes, label: str) -> Picture:
        return Picture(content, "png", label)

    return [
        Section(
            "Tracking error",
            "Distance between the landmarks and the rigid head's; peaks are blinks, fast turns or hands.",
            [plot(report_plots.tracking_plot(facts), "reprojection error over time")],
        ),
        Section(
            "Pose over time",
            "Curves have to be smooth; the noise is that of second differences from frame to frame.",
            [plot(report_plots.pose_plot(np.load(workspace.head_poses), facts), "head pose over time")],
        ),
        Section("Blinks", "Each peak is one blink.", [plot(report_plots.blink_plot(facts), "blink track")]),
        Section(
            "Sound and lips",
            "Speech has to stand clear of the dashed line under which it counts as silence.",
            [
                plot(report_plots.waveform_plot(samples, SAMPLE_RATE_HZ), "waveform of the soundtrack"),
                plot(report_plots.sound_plot(facts), "level of the sound and opening of the lips"),
                plot(report_plots.lag_plot(facts), "correlation of lips and sound over lags"),
            ],
        ),
    ]


def _tables(workspace: Workspace, manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    steps = manifest.get("steps", {})
    seconds = {name: f"{entry['seconds']:.1f} s" for name, entry in steps.items() if "seconds" in entry}
    return {
        "Settings": {name: value for name, value in dataclasses.asdict(workspace.settings).items() if name != "models"},
        "Steps": seconds,
        "Tools": manifest.get("tools", {}),
    }
