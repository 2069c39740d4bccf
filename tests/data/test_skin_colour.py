"""Skin is told by the colour of the face, in light and shade."""

from __future__ import annotations

import numpy as np
import pytest

from ns_talking.data.skin_colour import SkinColour

TONES = {"light": (150, 175, 225), "brown": (75, 105, 160), "dark": (40, 55, 85)}


def pixels(bgr: tuple[int, int, int], shade: float = 1.0, count: int = 400) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 4, size=(count, 3))
    return np.clip(np.array(bgr) * shade + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("tone", TONES)
def test_skin_is_found_in_the_shade_of_a_chin(tone: str) -> None:
    skin = SkinColour.of(np.concatenate([pixels(TONES[tone], shade) for shade in (0.9, 1.0, 1.1)]))
    assert skin is not None
    for shade in (0.85, 1.0):
        assert skin.matches(pixels(TONES[tone], shade)).mean() > 0.8


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("clothes", [(250, 250, 250), (15, 15, 15), (160, 80, 30), (60, 140, 60)])
def test_clothes_are_no_skin(tone: str, clothes: tuple[int, int, int]) -> None:
    skin = SkinColour.of(pixels(TONES[tone]))
    assert skin is not None
    assert not skin.matches(pixels(clothes)).any()


def test_a_beard_in_the_face_is_not_skin_elsewhere() -> None:
    face = np.concatenate([pixels(TONES["light"]), pixels((30, 35, 45), count=100)])
    skin = SkinColour.of(face)
    assert skin is not None
    assert skin.matches(pixels(TONES["light"])).mean() > 0.8
    assert not skin.matches(pixels((30, 35, 45))).any()


def test_too_few_pixels_tell_nothing() -> None:
    assert SkinColour.of(pixels(TONES["light"], count=20)) is None


def test_no_pixels_match_nothing() -> None:
    skin = SkinColour.of(pixels(TONES["light"]))
    assert skin is not None
    assert skin.matches(np.zeros((0, 3), dtype=np.uint8)).shape == (0,)
