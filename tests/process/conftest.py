"""Fixtures of the processing tests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ns_talking.process.landmarks import LANDMARKS
from ns_talking.process.step import ProcessSettings, Progress, Workspace


@pytest.fixture
def quiet() -> Progress:
    """Progress that shows nothing."""

    def show(description: str, *, total: float, unit: str) -> Any:  # Any: a context manager of a callback.
        return nullcontext(lambda amount=1: None)

    return show


@pytest.fixture
def disc_detector(monkeypatch: pytest.MonkeyPatch) -> str:
    """Register the disc detector; the value is its name."""
    monkeypatch.setitem(LANDMARKS, "discs", "videos:DiscDetector")
    return "discs"


@pytest.fixture
def make_workspace(tmp_path: Path, disc_detector: str) -> Callable[..., Workspace]:
    """Make a workspace for a video, with the disc detector and small frames."""

    def make(video: Path, **changes: Any) -> Workspace:  # Any: fields of the settings.
        settings = replace(ProcessSettings(size=96, crop="none", landmarks=disc_detector), **changes)
        folder = tmp_path / "dataset"
        (folder / "work").mkdir(parents=True, exist_ok=True)
        return Workspace(folder, video, settings)

    return make
