from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from painted_clip import background, no_progress, paint, painted_workspace

from ns_talking.process.background import BackgroundStep, fill_smoothly, masked_median


def test_the_plate_shows_the_scene_and_no_person(tmp_path: Path) -> None:
    frames = [paint(shift) for shift in np.linspace(-20, 20, 9)]
    workspace = painted_workspace(tmp_path / "data", frames)
    workspace.parsing.mkdir()
    for index, frame in enumerate(frames):
        cv2.imwrite(str(workspace.parsing / f"{index:06d}.png"), frame.regions)
    figures = BackgroundStep().run(workspace, no_progress)
    plate = cv2.cvtColor(cv2.imread(str(workspace.background)), cv2.COLOR_BGR2RGB).astype(int)
    seen = cv2.imread(str(workspace.work("background_seen.png")), cv2.IMREAD_UNCHANGED) > 0
    difference = np.abs(plate - background()).max(axis=-1)
    assert difference[seen].max() <= 4
    # What nobody saw continues the slope: no skin, no jacket, and no seam.
    assert difference.max() <= 40
    assert (plate[..., 2] - plate[..., 0]).min() > 100
    assert 0.2 < figures["never_seen_share"] < 0.9
    assert figures["drift"] < 2


def test_the_median_ignores_what_is_masked() -> None:
    images = np.full((5, 4, 4, 3), 10, np.uint8)
    masks = np.ones((5, 4, 4), bool)
    images[:2, 0, 0] = 200
    masks[:2, 0, 0] = False
    masks[1:, 1, 1] = False
    plate, seen = masked_median(images, masks)
    assert (plate[0, 0] == 10).all()
    assert seen[0, 0]
    assert not seen[1, 1]


def test_filling_keeps_what_is_known_and_stays_within_its_range() -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(50, 200, (61, 47, 3), dtype=np.uint8)
    known = generator.random((61, 47)) < 0.3
    filled = fill_smoothly(image, known)
    np.testing.assert_array_equal(filled[known], image[known])
    assert filled.min() >= image[known].min()
    assert filled.max() <= image[known].max()


def test_a_slope_is_continued_across_a_hole() -> None:
    columns = np.tile(np.linspace(0, 250, 64), (64, 1)).astype(np.uint8)[..., None]
    known = np.ones((64, 64), bool)
    known[20:44, 20:44] = False
    filled = fill_smoothly(np.where(known[..., None], columns, 0).astype(np.uint8), known)
    assert np.abs(filled.astype(int) - columns).max() < 20
