from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from painted_clip import SHADOW, background, no_progress, paint, painted_workspace

from ns_talking.data.format import Region
from ns_talking.process.torso import TorsoStep, behind, torso_layer


def layer_and_frame(reach_px: float = 20.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frame = paint()
    return torso_layer(frame.image, frame.regions, background(), reach_px), frame.image, frame.regions


def test_torso_over_plate_is_the_frame_outside_the_head() -> None:
    layer, image, regions = layer_and_frame()
    outside = (regions == Region.TORSO) | (regions == Region.BACKGROUND)
    difference = np.abs(behind(layer, background()).astype(int) - image).max(axis=-1)
    assert difference[outside].mean() < 0.5
    assert np.percentile(difference[outside], 99) <= 2


def test_the_plates_part_of_a_mixed_edge_is_taken_out() -> None:
    plate = cv2.resize(background(), (512, 512))
    regions = np.zeros(plate.shape[:2], np.uint8)
    regions[100:] = Region.TORSO
    image = np.where(regions[..., None] > 0, np.array([90, 40, 30], np.uint8), plate)
    # The mask is one row too wide, and the next row is half torso.
    image[100] = plate[100]
    image[101] = (plate[101].astype(int) + image[110]) // 2
    layer = torso_layer(image, regions, plate, 20.0)
    assert np.abs(behind(layer, plate).astype(int) - image).max() <= 1
    assert layer[100, :, 3].max() < 40
    assert layer[105:, :, 3].min() == 255
    red = np.zeros_like(plate)
    assert behind(layer, red)[100:, :, 2].max() < 80


def test_the_strip_stays_under_the_head_and_within_its_reach() -> None:
    layer, _, regions = layer_and_frame(reach_px=20.0)
    drawn = layer[..., 3] > 0
    assert not drawn[regions == Region.BACKGROUND].any()
    to_torso = cv2.distanceTransform((regions != Region.TORSO).astype(np.uint8), cv2.DIST_L2, 5)
    assert to_torso[drawn].max() <= 20.5
    assert drawn[(regions == Region.HEAD)].sum() > 200


def test_the_strip_has_the_necks_colour_not_the_chins() -> None:
    layer, _, regions = layer_and_frame()
    column = regions.shape[1] // 2
    chin = np.flatnonzero(regions[:, column] == Region.HEAD)[-1]
    strip = layer[chin - 6 : chin + 1, column]
    assert (strip[:, 3] > 200).all()
    assert np.abs(strip[:, :3].astype(int) - SHADOW).max() < 12


def test_without_a_torso_the_layer_is_empty() -> None:
    frame = paint()
    regions = np.where(frame.regions == Region.TORSO, Region.BACKGROUND, frame.regions).astype(np.uint8)
    assert not torso_layer(frame.image, regions, background(), 20.0).any()


def test_the_step_writes_one_layer_for_every_usable_frame(tmp_path: Path) -> None:
    frames = [paint(shift) for shift in range(3)]
    workspace = painted_workspace(tmp_path / "data", frames, missing=(1,))
    cv2.imwrite(str(workspace.background), cv2.cvtColor(background(), cv2.COLOR_RGB2BGR))
    workspace.parsing.mkdir()
    for index in (0, 2):
        cv2.imwrite(str(workspace.parsing / f"{index:06d}.png"), frames[index].regions)
    figures = TorsoStep().run(workspace, no_progress)
    assert sorted(path.name for path in workspace.torso.iterdir()) == ["000000.png", "000002.png"]
    layer = cv2.imread(str(workspace.torso / "000002.png"), cv2.IMREAD_UNCHANGED)
    assert layer.shape == (*frames[0].regions.shape, 4)
    assert figures["behind_mismatch"] < 2
