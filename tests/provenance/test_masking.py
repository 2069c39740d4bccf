"""Laws of the watermark's strength: less where it would be seen, and nowhere more than an even one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ns_talking.provenance.masking import STRENGTH, strength
from ns_talking.provenance.watermark import imprint, wave
from ns_talking.provenance.watermark_reading import read_watermark

PAYLOAD = 0xC0FFEE42


def half_flat(side: int) -> np.ndarray:
    """A flat wall on the left, cloth on the right."""
    frame = np.full((side, side, 3), 120, np.uint8)
    cloth = np.random.default_rng(0).normal(120, 30, (side // 4, side // 8)).clip(0, 255).astype(np.uint8)
    frame[:, side // 2 :] = cv2.resize(cloth, (side - side // 2, side), interpolation=cv2.INTER_CUBIC)[..., None]
    return frame


def test_flat_areas_carry_less_than_texture() -> None:
    found = strength(half_flat(512))
    assert isinstance(found, np.ndarray)
    flat, cloth = found[:, :200], found[:, 312:]
    assert flat.max() < 0.75 * STRENGTH and cloth.min() > 0.95 * STRENGTH


def test_a_picture_without_texture_carries_half() -> None:
    assert float(np.max(strength(np.zeros((512, 512, 3), np.uint8)))) == pytest.approx(STRENGTH / 2)


@pytest.mark.parametrize("side", [128, 256, 300, 512, 1080])
def test_it_is_nowhere_stronger_than_an_even_mark(side: int) -> None:
    for frame in (half_flat(side), np.zeros((side, side, 3), np.uint8)):
        found = np.asarray(strength(frame))
        assert found.min() > 0 and found.max() <= STRENGTH * 1.001


def test_small_frames_cannot_spare_any_of_it() -> None:
    assert strength(half_flat(256)) == STRENGTH


def test_opacity_has_no_part_in_it() -> None:
    frame = half_flat(320)
    seen = np.dstack([frame, frame[..., 0]])
    assert np.array_equal(strength(frame), strength(seen))


def test_an_even_mark_as_earlier_versions_wrote_it_is_read() -> None:
    frame = half_flat(512)
    change = np.rint(2.4 * wave(512, 512, PAYLOAD)).astype(np.int16)
    even = cv2.add(frame, cv2.merge([change] * 3), dtype=cv2.CV_8U)
    assert not np.array_equal(even, imprint(frame, PAYLOAD))
    found = read_watermark([even])
    assert found is not None and found.payload == PAYLOAD
