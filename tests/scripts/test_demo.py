from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ns_talking.scripts import demo
from ns_talking.scripts.demo import Demo


def pretend(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(demo, "resolved", lambda command: [sys.executable, "-c", program])


def test_settings_that_make_no_portrait_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="5 s or more"):
        Demo(output=tmp_path, seconds=1.0).main()
    assert not list(tmp_path.iterdir())


def test_failed_training_shows_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "print('0 (0.00%) 1 s'); print('the reason'); raise SystemExit(3)")
    log = tmp_path / "training.log"
    with pytest.raises(ValueError, match=r"(?s)`ns-train er-nerf` failed with status 3.*the reason"):
        demo._run_logged(["ns-train", "er-nerf"], log, "Training", 10, "iterations")
    assert "the reason" in log.read_text()


def test_training_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verb = Demo(output=tmp_path, seconds=5.0, size=32, iterations=20, speech_seconds=0.2)
    verb._draw()
    pretend(monkeypatch, "print('0 (0.00%) 1 s'); print('10 (50.00%) 1 s')")
    verb._train()
    pretend(monkeypatch, "raise SystemExit(3)")
    verb._train()
    verb.iterations = 30
    with pytest.raises(ValueError, match="status 3"):
        verb._train()


def test_drawing_only_stops_at_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Demo, "_draw", lambda verb: verb._data.mkdir(parents=True))
    pretend(monkeypatch, "raise SystemExit(3)")
    Demo(output=tmp_path, draw_only=True).main()
    assert "Next: ns-train er-nerf --data" in capsys.readouterr().out


def test_telling_frames_reach_from_closed_to_wide_open() -> None:
    aperture = np.abs(np.sin(np.arange(50) / 5.0))
    shown = demo._telling_frames(aperture)
    assert len(shown) == 8
    assert {int(aperture.argmin()), int(aperture.argmax())} <= set(shown)
    assert shown == sorted(shown)


def test_the_head_moves_as_much_as_was_asked_for(tmp_path: Path) -> None:
    reach = []
    for factor in (1.0, 3.0):
        verb = Demo(output=tmp_path / str(factor), seconds=5.0, size=32, head_motion=factor, speech_seconds=0.2)
        verb._draw()
        poses = np.load(verb._data / "head_poses.npy")
        reach.append(float(np.ptp(poses[:, :3, 3], axis=0).max()))
    assert reach[1] > 2 * reach[0]
