"""Laws of the watermark's strength: less where it would be seen, never more in all than an even one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ns_talking.provenance.masking import ROOT_MEAN_SQUARE, strength
from ns_talking.provenance.watermark import imprint, wave
from ns_talking.provenance.watermark_reading import read_watermark

PAYLOAD = 0xC0FFEE42


def half_flat(side: int) -> np.ndarray:
    """A flat wall on the left, cloth on the right."""
    frame = np.full((side, side, 3), 120, np.uint8)
    cloth = np.random.default_rng(0).normal(120, 30, (side // 4, side // 8)).clip(0, 255).astype(np.uint8)
    frame[:, side // 2 :] = cv2.resize(cloth, (side - side // 2, side), interpolation=cv2.INTER_CUBIC)[..., None]
    return frame


def test_flat_areas_carry_less_than_half_of_what_texture_carries() -> None:
    found = strength(half_flat(512))
    assert isinstance(found, np.ndarray)
    flat, cloth = found[:, :200], found[:, 312:]
    assert flat.max() < 1.2 and cloth.min() > 2.9


@pytest.mark.parametrize("side", [128, 256, 300, 512, 1080])
def test_its_power_is_at_most_that_of_an_even_mark(side: int) -> None:
    for frame in (half_flat(side), np.zeros((side, side, 3), np.uint8), half_flat(side)[:, ::-1]):
        power = float(np.square(strength(np.ascontiguousarray(frame))).mean()) ** 0.5
        assert 0 < power <= ROOT_MEAN_SQUARE * 1.001


def test_small_frames_cannot_spare_any_of_it() -> None:
    assert strength(half_flat(256)) == ROOT_MEAN_SQUARE


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
