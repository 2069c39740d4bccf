"""`ns-talking render` with a portrait that paints what drives it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from painted_pipeline import PaintedPipeline

from ns_talking.audio.io import write_wav
from ns_talking.scripts import loading
from ns_talking.scripts.render import Render


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> PaintedPipeline:
    painted = PaintedPipeline()
    monkeypatch.setattr(loading, "load_portrait", lambda config, data: painted)
    return painted


@pytest.fixture
def render(tmp_path: Path) -> Callable[..., Path]:
    (tmp_path / "config.yml").write_text("the painted pipeline needs none")

    def run(**options: object) -> Path:
        merged = {"load_config": tmp_path, "audio": tmp_path / "speech.wav", "output": tmp_path / "out.mp4"} | options
        Render(**merged).main()  # type: ignore[arg-type]
        return merged["output"]  # type: ignore[return-value]

    return run


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two seconds, 44.1 kHz, with a burst at 1.2 s."""
    generator = np.random.default_rng(0)
    sound = np.zeros(2 * 44100, np.float32)
    sound[round(1.2 * 44100) : round(1.3 * 44100)] = generator.uniform(-0.9, 0.9, 4410)
    write_wav(tmp_path / "speech.wav", sound, 44100)
    return tmp_path / "speech.wav"
