from __future__ import annotations

from pathlib import Path

import pytest
from marked_videos import ORIGIN, write_video

from ns_talking.provenance.marking import Mark, make_mark


@pytest.fixture
def mark() -> Mark:
    return make_mark(ORIGIN)


@pytest.fixture
def marked(tmp_path: Path, mark: Mark) -> Path:
    return write_video(tmp_path / "marked.mp4", mark)
