from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from clip_facts import good_facts
from rich.console import Console

from ns_talking.metrics.lip_sound import lip_sound_lag
from ns_talking.process.checks import CHECKS, judge
from ns_talking.process.clip_facts import sharpness
from ns_talking.process.step import ProcessSettings, Workspace
from ns_talking.process.verdicts import VERDICTS, as_json, read_verdicts
from ns_talking.utils.files import write_json
from ns_talking.utils.verdicts import verdict_table


def test_a_good_clip_passes_every_check() -> None:
    verdicts = judge(good_facts())
    assert [verdict.name for verdict in verdicts if verdict.level != "pass"] == []
    assert len({verdict.name for verdict in verdicts}) == len(CHECKS) == len(verdicts)


@pytest.mark.parametrize(
    ("name", "level", "changes"),
    [
        ("clip length", "warn", {"duration_s": 40.0}),
        ("clip length", "fail", {"duration_s": 8.0}),
        ("frame rate", "warn", {"source_fps": 15.0}),
        ("sound and picture length", "fail", {"audio_s": 110.0}),
        ("sound and picture length", "warn", {"padded_s": 0.5}),
        ("lip sync", "fail", {"lag_s": 0.3}),
        ("lip sync", "warn", {"lag_s": -0.1}),
        ("lip sync", "warn", {"lag_correlation": 0.02}),
        ("lip sync", "warn", {"lag_correlation": 0.3, "duration_s": 8.0, "lag_s": 0.3}),
        ("face found", "fail", {"usable_share": 0.5}),
        ("one person", "warn", {"several_faces_share": 0.05}),
        ("face size", "fail", {"eye_distance_px": 30.0}),
        ("face size", "warn", {"source_px_per_px": 0.4}),
        ("head in the frame", "warn", {"off_centre": (0.0, 0.2)}),
        ("head in the frame", "warn", {"cut_off_share": 0.5}),
        ("sharpness", "fail", {"sharpness": np.full(48, 0.1)}),
        ("exposure", "fail", {"overexposed_share": 0.5}),
        ("exposure", "warn", {"brightness": np.linspace(100, 150, 48)}),
        ("landmark reprojection", "fail", {"reprojection_px": np.full(3000, 3.0)}),
        ("head pose jitter", "fail", {"jitter_rotation_deg": np.array([0.1, 2.0, 0.1])}),
        ("head motion", "warn", {"turn_deg": 1.0}),
        ("mouth opening", "fail", {"aperture": np.full(3000, 0.1)}),
        ("blinks", "warn", {"blinks_per_minute": 0.0}),
        ("sound level", "fail", {"level_db": np.full(12000, -90.0)}),
        ("sound level", "warn", {"clipped_share": 0.01}),
        ("noise", "warn", {"level_db": np.full(12000, -20.0)}),
        ("silence", "warn", {"level_db": np.full(12000, -20.0)}),
        ("background", "fail", {"background_drift": 30.0}),
        ("parsing", "warn", {"head_flicker": 0.02}),
    ],
)
def test_each_fault_is_named_with_advice(name: str, level: str, changes: dict[str, Any]) -> None:
    verdict = next(verdict for verdict in judge(good_facts(**changes)) if verdict.name == name)
    assert verdict.level == level
    assert verdict.advice.endswith(".")
    assert verdict.found
    assert verdict.reason.endswith(".")


def test_a_flat_focal_length_is_stated_but_no_fault() -> None:
    verdict = next(verdict for verdict in judge(good_facts()) if verdict.name == "focal length")
    assert verdict.level == "pass"
    assert "prior" in verdict.reason
    given = next(verdict for verdict in judge(good_facts(focal_fixed=True)) if verdict.name == "focal length")
    assert "given" in given.found


@pytest.mark.parametrize("delay_s", [-0.2, 0.0, 0.12])
def test_the_lag_of_the_sound_is_found(delay_s: float) -> None:
    generator = np.random.default_rng(3)
    rhythm = cv2.GaussianBlur(generator.normal(size=(1, 6000)), (0, 0), 6)[0]
    instants = np.arange(6000) / 100
    lips = np.interp(np.arange(1500) / 25, instants, rhythm)
    level = -30 + 40 * np.interp(instants - delay_s, instants, rhythm)
    lips[100:103] = np.nan
    lags, curve = lip_sound_lag(lips, level, 25.0)
    assert lags[np.argmax(curve)] == pytest.approx(delay_s, abs=0.021)
    assert curve.max() > 0.7


def test_silence_has_no_lag() -> None:
    _, curve = lip_sound_lag(np.sin(np.arange(500.0)), np.full(2000, -90.0), 25.0)
    assert not curve.any()


def test_blur_lowers_sharpness_and_contrast_does_not() -> None:
    image = np.random.default_rng(0).integers(0, 255, (96, 96)).astype(np.float64)
    assert sharpness(cv2.GaussianBlur(image, (0, 0), 4)) < 0.6 * sharpness(image)
    assert sharpness(0.3 * image + 20) == pytest.approx(sharpness(image))
    assert sharpness(np.full((16, 16), 7.0)) == 0.0


def test_verdicts_survive_the_file_and_print_as_a_table(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, tmp_path / "a.mp4", ProcessSettings())
    assert read_verdicts(workspace) == []
    verdicts = judge(good_facts(duration_s=8.0))
    write_json(workspace.work(VERDICTS), as_json(verdicts))
    assert read_verdicts(workspace) == verdicts
    console = Console(width=200, record=True, file=StringIO())
    console.print(verdict_table(verdicts))
    assert "one to five minutes" in console.export_text()
