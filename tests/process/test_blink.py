from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from painted_clip import no_progress, paint, painted_workspace

from ns_talking.process.blink import BlinkStep, blink_track, blinks


def clip_with_blinks(num_frames: int = 300, at: tuple[int, ...] = (50, 140, 230)) -> tuple[np.ndarray, np.ndarray]:
    closed = np.zeros(num_frames)
    for frame in at:
        closed[frame - 2 : frame + 3] = [0.4, 0.9, 1.0, 0.9, 0.4]
    noise = np.random.default_rng(0).normal(0, 1, num_frames)
    return 0.3 - 0.22 * closed + 0.004 * noise, np.clip(0.1 + 0.6 * closed + 0.01 * noise, 0, 1)


@pytest.mark.parametrize("with_blendshapes", [True, False])
def test_blinks_reach_one_and_open_eyes_stay_near_zero(with_blendshapes: bool) -> None:
    opening, closure = clip_with_blinks()
    track = blink_track(opening, closure if with_blendshapes else None, 25.0)
    assert track.dtype == np.float32
    assert track.min() >= 0
    assert track.max() <= 1
    assert blinks(track) == [49, 139, 229]
    assert track[[50, 140, 230]].min() > 0.9
    assert np.median(track) < 0.1


def test_a_clip_without_blinks_is_not_blown_up() -> None:
    generator = np.random.default_rng(1)
    opening = 0.3 + 0.004 * generator.normal(size=200)
    closure = 0.1 + 0.01 * generator.normal(size=200)
    assert blink_track(opening, closure, 25.0).max() < 0.15


def test_a_slow_bow_of_the_head_is_no_blink() -> None:
    opening, _ = clip_with_blinks(500, (100, 400))
    opening *= 1 - 0.15 * np.sin(np.linspace(0, np.pi, 500))
    assert len(blinks(blink_track(opening, None, 25.0))) == 2


def test_frames_without_a_face_are_interpolated() -> None:
    opening, closure = clip_with_blinks()
    opening[10:14] = closure[10:14] = np.nan
    track = blink_track(opening, closure, 25.0)
    assert np.isfinite(track).all()
    assert track[10:14].max() < 0.2


def test_the_step_reads_landmarks_alone_where_there_are_no_blendshapes(tmp_path: Path) -> None:
    lids = np.full(60, 0.12)
    lids[30:33] = 0.02
    workspace = painted_workspace(tmp_path / "data", [paint(lids=value) for value in lids], missing=(5,))
    figures = BlinkStep().run(workspace, no_progress)
    track = np.load(workspace.blink)
    assert figures == {"source": "eye aspect ratio", "blinks": 1, "blinks_per_minute": 25.0}
    assert track.shape == (60,)
    assert track[31] > 0.9
    assert track[5] < 0.2
