"""Every metric finds the size of a fault that was planted into the procedural head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from planted import BLANK, LAYOUT, PlantedClip, by_images, by_landmarks, measured

from ns_talking.audio.io import read_audio, write_wav
from ns_talking.data.format import HEAD_REGIONS
from ns_talking.data.landmarks import aperture
from ns_talking.demo.head import HeadRenderer
from ns_talking.demo.identity import identity
from ns_talking.metrics.action_units import BlendshapeError
from ns_talking.metrics.aperture import Aperture, Eyes, windowed_lags
from ns_talking.metrics.base import MeasuredFrame, Picture
from ns_talking.metrics.closures import ClosureDepth, find_closures
from ns_talking.metrics.identity import Likeness
from ns_talking.metrics.image import MsSsim, Psnr, RegionMean, Ssim
from ns_talking.metrics.landmark_distance import Lmd
from ns_talking.metrics.lip_sound import LipSound
from ns_talking.metrics.silence import SilenceStability, silent_frames
from ns_talking.metrics.stability import Stability


@pytest.mark.parametrize("lag", [-6, 0, 4])
def test_a_lag_is_found_to_the_frame(clip: PlantedClip, lag: int) -> None:
    real = clip.points(clip.aperture)
    late = clip.points(np.roll(clip.aperture, lag))
    found = measured(Aperture(clip.context), by_landmarks(late, real))
    assert found.values["aperture_lag"] == lag
    assert found.values["aperture_at_lag"] > 0.98
    lags = windowed_lags(found.curves["aperture"], found.curves["aperture_real"])
    assert len(lags) > 10 and np.median(lags) == lag


def test_lips_that_never_move_have_no_lag(clip: PlantedClip) -> None:
    still = np.repeat(clip.points(clip.aperture[:1]), len(clip.aperture), axis=0)
    found = measured(Aperture(clip.context), by_landmarks(still, clip.points(clip.aperture)))
    assert "never move" in found.missing["aperture_lag"]
    assert found.values["aperture"] == 0 and found.values["aperture_spread"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("lag", [-4, 3])
def test_a_lag_behind_the_sound_is_found_without_real_frames(clip: PlantedClip, lag: int) -> None:
    lags_ms = [
        measured(LipSound(clip.context), by_landmarks(clip.points(np.roll(clip.aperture, shift)))).values[
            "lip_sound_lag"
        ]
        for shift in (0, lag)
    ]
    assert lags_ms[1] - lags_ms[0] == pytest.approx(40 * lag, abs=15)


@pytest.mark.parametrize("gain", [0.4, 1.5])
def test_a_gain_of_the_opening_is_found(clip: PlantedClip, gain: float) -> None:
    rendered, real = clip.points(gain * clip.aperture), clip.points(clip.aperture)
    found = measured(Aperture(clip.context), by_landmarks(rendered, real)).values
    assert found["aperture_spread"] == pytest.approx(gain, rel=0.04)
    assert found["aperture"] > 0.99
    # Concordance of a curve with itself times a gain, plus what the gain does to the mean.
    opening = aperture(real, LAYOUT)
    mean, variance = opening.mean(), opening.var()
    expected = 2 * gain * variance / ((1 + gain**2) * variance + ((1 - gain) * mean) ** 2)
    assert found["aperture_ccc"] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_lips_that_do_not_quite_close_are_found(clip: PlantedClip, share: float) -> None:
    real = clip.points(clip.aperture)
    opening = aperture(real, LAYOUT)
    closures = find_closures(opening, clip.context.fps)
    assert len(closures.frames) >= 5
    rendered = clip.aperture.copy()
    for frame, opened in zip(closures.frames, closures.opened, strict=True):
        around = slice(max(0, frame - 2), frame + 3)
        rendered[around] = np.maximum(rendered[around], share * opened)
    found = measured(ClosureDepth(clip.context), by_landmarks(clip.points(rendered), real)).values
    assert found["closure_depth"] == pytest.approx(1 - share, abs=0.05)
    assert found["closures_missed"] == (100 if share > 0.5 else 0)


@pytest.mark.parametrize("sigma_px", [0.5, 2.0])
def test_jitter_is_found_in_px(clip: PlantedClip, sigma_px: float) -> None:
    real = clip.points(clip.aperture)
    shaken = real.copy()
    shaken[..., :2] += np.random.default_rng(0).normal(0, sigma_px, (len(real), 1, 2))
    found = measured(Stability(clip.context), by_landmarks(shaken, real)).values
    still = measured(Stability(clip.context), by_landmarks(real, real)).values
    assert still["jitter"] < 0.1
    assert still["jitter_excess"] == 0
    # One shake for all points leaves two numbers per frame, whose absolute median is that of a wider sample.
    assert found["jitter"] == pytest.approx(sigma_px, rel=0.15)
    assert found["jitter_excess"] == pytest.approx(found["jitter"] - still["jitter"])


def test_jitter_of_single_points_is_found_in_px(clip: PlantedClip) -> None:
    real = clip.points(clip.aperture)
    noisy = real.copy()
    noisy[..., :2] += np.random.default_rng(0).normal(0, 1.5, (*real.shape[:2], 2))
    assert measured(Stability(clip.context), by_landmarks(noisy, real)).values["jitter"] == pytest.approx(1.5, rel=0.05)


def test_a_leak_into_silence_is_found(clip: PlantedClip) -> None:
    silent = silent_frames(clip.context, np.arange(len(clip.aperture)))
    assert silent.any() and not silent.all()
    still, leaking = (
        measured(SilenceStability(clip.context), by_landmarks(clip.points(opening))).values
        for opening in (clip.aperture, np.where(silent, clip.aperture + 0.06, clip.aperture))
    )
    assert still["silence_opening"] < 0.01
    assert leaking["silence_opening"] - still["silence_opening"] == pytest.approx(0.06, abs=0.005)


def test_noise_in_the_pauses_does_not_hide_them(clip: PlantedClip, tmp_path: Path) -> None:
    index = np.arange(len(clip.aperture))
    samples = read_audio(clip.sound)
    loud = np.sqrt(np.quantile(np.square(samples), 0.95))
    noise = np.random.default_rng(0).normal(0, loud * 10 ** (-25 / 20), len(samples)).astype(np.float32)
    write_wav(tmp_path / "noisy.wav", samples + noise)
    clean, noisy = (
        silent_frames(replace(clip.context, sound=sound), index) for sound in (clip.sound, tmp_path / "noisy.wav")
    )
    assert (noisy & clean).sum() > 0.8 * clean.sum()
    assert clip.aperture[noisy].max() < 0.02


def test_motion_in_silence_is_found(clip: PlantedClip) -> None:
    chewing = clip.aperture + 0.04 * (np.arange(len(clip.aperture)) % 2)
    found = measured(SilenceStability(clip.context), by_landmarks(clip.points(chewing))).values
    assert found["silence_motion"] == pytest.approx(0.04 * clip.context.fps, rel=0.1)


def test_another_person_is_found_in_the_frames_that_show_one(clip: PlantedClip) -> None:
    real, parsing = zip(*clip.images(range(12)), strict=True)
    others = [image for image, _ in clip.images(range(12), other=True)]
    rendered = [*real[:6], *others[6:]]
    found = measured(Likeness(clip.context), by_images(clip, rendered, real, parsing))
    same, swapped = np.split(found.curves["likeness"], 2)
    np.testing.assert_allclose(same, 1.0)
    assert swapped.max() < 0.9
    assert found.values["likeness"] == pytest.approx((same.mean() + swapped.mean()) / 2)


def test_flicker_of_the_background_is_found_in_grey_levels(clip: PlantedClip) -> None:
    real, parsing = zip(*clip.images(range(6)), strict=True)
    flickering = [
        np.clip(image.astype(int) + 2 * (number % 2), 0, 255).astype(np.uint8) for number, image in enumerate(real)
    ]
    still, found = (
        measured(Stability(clip.context), by_images(clip, images, real, parsing)).values["flicker"]
        for images in (list(real), flickering)
    )
    # Pixels at the edge of the head are mixed, and change as it moves.
    assert still < 0.1
    assert found == pytest.approx(2, abs=0.1)


def test_psnr_finds_the_region_of_an_error(clip: PlantedClip) -> None:
    real, parsing = zip(*clip.images(range(3)), strict=True)
    wrong = [
        np.where((regions == 0)[..., None], 255 - image, image) for image, regions in zip(real, parsing, strict=True)
    ]
    found = measured(Psnr(clip.context), by_images(clip, wrong, real, parsing)).values
    assert found["psnr"] < 25
    assert found["psnr_head"] == 100
    brighter = [np.minimum(image, 245) + 10 for image in real]
    clipped = [np.minimum(image, 245) for image in real]
    found = measured(Psnr(clip.context), by_images(clip, brighter, clipped, parsing)).values
    assert found["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)


def test_centred_landmark_distance_ignores_where_the_head_is(clip: PlantedClip) -> None:
    real = clip.points(clip.aperture)
    moved = real + np.array([3.0, 4.0, 0.0])
    found = measured(Lmd(clip.context), by_landmarks(moved, real)).values
    assert found["lmd"] == pytest.approx(0, abs=1e-9)
    assert found["lmd_placed"] == pytest.approx(5)


@pytest.mark.parametrize("moved_px", [0.5, 3.0])
def test_landmark_distance_is_that_of_the_lips_shape(clip: PlantedClip, moved_px: float) -> None:
    real = clip.points(clip.aperture)
    rendered = real.copy()
    # Half of the 20 lip landmarks go up, half go down: their mean stays, and each is as far off.
    lips = LAYOUT.ibug68[48:68]
    rendered[:, lips[::2], 1] += moved_px
    rendered[:, lips[1::2], 1] -= moved_px
    found = measured(Lmd(clip.context), by_landmarks(rendered, real)).values
    assert found["lmd"] == pytest.approx(moved_px) and found["lmd_placed"] == pytest.approx(moved_px)


def test_blinks_that_are_half_as_deep_are_found(clip: PlantedClip) -> None:
    real, other = clip.points(clip.aperture), replace(clip, blink=np.zeros_like(clip.blink)).points(clip.aperture)
    # Landmarks move along straight lines as the lids close, so that half way there is half a blink.
    half, open_eyes = (real + other) / 2, other
    found = measured(Eyes(clip.context), by_landmarks(half, real)).values
    assert found["eyes"] > 0.98
    assert found["eyes_spread"] == pytest.approx(0.5, abs=0.08)
    assert measured(Eyes(clip.context), by_landmarks(open_eyes, real)).values["eyes_spread"] < 0.2


def test_blendshapes_that_are_off_are_found(clip: PlantedClip) -> None:
    shapes = np.zeros(52)
    shapes[[25, 30]] = 0.5
    points = clip.points(clip.aperture[:8])
    frames = [
        MeasuredFrame(number, number, Picture(BLANK, each, shapes), Picture(BLANK, each, 0 * shapes))
        for number, each in enumerate(points)
    ]
    found = measured(BlendshapeError(clip.context), frames).values
    assert found == {"blendshapes_lower": pytest.approx(0.5), "blendshapes_upper": 0}


@pytest.mark.parametrize("metric", [Ssim, MsSsim])
def test_structure_is_lost_where_it_was_blurred_and_by_how_much(clip: PlantedClip, metric: type[RegionMean]) -> None:
    renderer = HeadRenderer(identity("ada"), 256)
    image, parsing, *_ = renderer.frame(0.05, 1.0, 0.0, clip.poses[0])
    head = np.isin(parsing, HEAD_REGIONS)
    rows, columns = np.flatnonzero(head.any(axis=1)), np.flatnonzero(head.any(axis=0))
    x, y = int(columns.mean()), int(rows.mean())
    box, points = np.array([x - 24, y, x + 24, y + 48]), clip.points(clip.aperture[:1])[0]
    found = []
    for sigma in (0.0, 1.0, 3.0):
        wrong = image.copy()
        if sigma:
            wrong[y : y + 48, x - 24 : x + 24] = cv2.GaussianBlur(image, (0, 0), sigma)[y : y + 48, x - 24 : x + 24]
        frame = MeasuredFrame(0, 0, Picture(wrong, points), Picture(image, points), head, box, ~head)
        found.append(list(measured(metric(clip.context), [frame]).values.values()))
    assert found[0] == pytest.approx([1.0, 1.0, 1.0], abs=1e-6)
    for sharper, softer in zip(found[:-1], found[1:], strict=True):
        assert all(after < before for before, after in zip(sharper, softer, strict=True))
    # Mouth, head, whole frame: the smaller the region, the more of it is blurred.
    assert found[2][2] < found[2][1] < found[2][0]


def test_a_frame_without_a_face_leaves_the_figures_of_the_others(clip: PlantedClip) -> None:
    real = clip.points(clip.aperture)
    rendered = real.copy()
    rendered[40:60] = np.nan
    for metric in (Aperture(clip.context), Lmd(clip.context), SilenceStability(clip.context)):
        assert all(np.isfinite(list(measured(metric, by_landmarks(rendered, real)).values.values())))
