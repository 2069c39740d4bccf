from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from painted_clip import PaintedSegmenter, no_progress, paint, painted_workspace

from ns_talking.process import person_masks
from ns_talking.process.background import BackgroundStep
from ns_talking.process.blink import BlinkStep
from ns_talking.process.checks import CHECKS
from ns_talking.process.contact_sheets import project
from ns_talking.process.features import FeaturesStep
from ns_talking.process.parsing import ParsingStep
from ns_talking.process.report import ReportStep
from ns_talking.process.report_page import page
from ns_talking.process.split import SplitStep
from ns_talking.process.torso import TorsoStep
from ns_talking.process.verdicts import read_verdicts
from ns_talking.utils.verdicts import Verdict


@pytest.fixture(autouse=True)
def _painted_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(person_masks.PARSERS, "painted", f"{PaintedSegmenter.__module__}:PaintedSegmenter")
    monkeypatch.setattr(person_masks, "find_model", lambda name, models, progress: Path(name))


def test_the_report_is_one_file_with_every_check_and_picture(tmp_path: Path) -> None:
    frames = [paint(float(shift)) for shift in np.linspace(-4, 4, 25)]
    workspace = painted_workspace(tmp_path / "data", frames, missing=(7,))
    for step in (ParsingStep(), BackgroundStep(), TorsoStep(), BlinkStep(), SplitStep(), FeaturesStep()):
        step.run(workspace, no_progress)
    figures = ReportStep().run(workspace, no_progress)
    text = workspace.report.read_text(encoding="utf-8")
    verdicts = read_verdicts(workspace)
    assert len(verdicts) == len(CHECKS)
    assert figures["pass"] + figures["warn"] + figures["fail"] == len(CHECKS)
    assert all(verdict.name in text for verdict in verdicts)
    sources = re.findall(r'src="([^"]{0,30})', text)
    assert len(sources) == 12
    assert all(source.startswith(("data:image/jpeg;base64,", "data:image/png;base64,")) for source in sources)
    assert not re.search(r'(src|href)="?(https?:|/)', text)
    assert f"ns-train er-nerf --data {workspace.folder}" in text
    assert figures["fail"] >= 1
    json.dumps(figures)


def test_the_page_escapes_what_it_is_given_and_lists_failures_first() -> None:
    verdicts = [
        Verdict("fine", "pass", "1 < 2", "", ""),
        Verdict("broken", "fail", "<script>", "It matters.", "Film again."),
    ]
    text = page("a & b", "summary", verdicts, [], {"Settings": {"size": 512}}, "ns-train")
    assert "<script>" not in text
    assert "a &amp; b" in text
    assert text.index("broken") < text.index("fine")


def test_the_origin_projects_onto_the_cameras_axis() -> None:
    pose = np.array([[1, 0, 0, 0], [0, 0, -1, -3.3], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 1]])
    projected = project(points, pose, 330.0, 100, 80)
    np.testing.assert_allclose(projected, [[49.5, 39.5], [149.5, 39.5], [49.5, -60.5]])
