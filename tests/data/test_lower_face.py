"""The lower half of the face is what lies under the nose, inside the face, however the head is turned."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.data.format import Region, read_portrait
from ns_talking.data.landmarks import scheme
from ns_talking.data.lower_face import lower_half_face


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    """Parsing and landmarks of a frame."""
    portrait = read_portrait(write_tiny_portrait(tmp_path_factory.mktemp("face") / "tiny", size=128))
    parsing = cv2.imread(str(portrait.frames[0].parsing), cv2.IMREAD_GRAYSCALE)
    assert parsing is not None
    return parsing, portrait.landmarks[0]


def test_it_holds_lips_and_mouth_and_neither_eyes_nor_background(frame: tuple[np.ndarray, np.ndarray]) -> None:
    parsing, points = frame
    lower = lower_half_face(parsing, points, scheme("ibug68"))
    assert lower[np.isin(parsing, (Region.LIPS, Region.INNER_MOUTH))].all()
    assert not lower[parsing == Region.EYES].any()
    assert lower[parsing == Region.BACKGROUND].mean() < 0.02
    assert 0.2 < lower.sum() / np.isin(parsing, (Region.HEAD, Region.LIPS, Region.INNER_MOUTH)).sum() < 0.6


def test_it_turns_with_the_head(frame: tuple[np.ndarray, np.ndarray]) -> None:
    parsing, points = frame
    turn = cv2.getRotationMatrix2D((63.5, 63.5), 30, 1)
    turned = cv2.warpAffine(parsing, turn, (128, 128), flags=cv2.INTER_NEAREST)
    moved = (points[:, :2] - 0.5) @ turn[:, :2].T + turn[:, 2] + 0.5
    expected = cv2.warpAffine(
        lower_half_face(parsing, points, scheme("ibug68")).astype(np.uint8), turn, (128, 128), flags=cv2.INTER_NEAREST
    )
    actual = lower_half_face(turned, moved, scheme("ibug68"))
    assert (actual & (expected > 0)).sum() > 0.93 * (actual | (expected > 0)).sum()
