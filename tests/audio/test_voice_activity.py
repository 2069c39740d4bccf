"""Laws of hearing who speaks when, by loudness alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ns_talking.audio.io import write_wav
from ns_talking.audio.voice_activity import voice_activity

FPS = 25.0


def talk(*parts: tuple[float, float], noise: float = 1e-4, seed: int = 0) -> np.ndarray:
    """Speech-like bursts of (seconds, amplitude), four syllables a second, in steady noise."""
    generator = np.random.default_rng(seed)
    pieces = []
    for seconds, amplitude in parts:
        time_s = np.arange(round(seconds * 16000)) / 16000
        syllables = 0.3 + 0.7 * np.abs(np.sin(4 * np.pi * time_s))
        pieces.append(amplitude * syllables * generator.standard_normal(len(time_s)))
    sound = np.concatenate(pieces)
    return (sound + noise * generator.standard_normal(len(sound))).astype(np.float32)


def heard(sound: np.ndarray, num_frames: int = 100) -> np.ndarray:
    return voice_activity([sound], num_frames, FPS)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("level", [0.05, 0.2])
def test_pauses_are_found_whatever_the_level_of_speech_and_noise(noise: float, level: float) -> None:
    activity = heard(talk((1.5, level), (1.0, 0.0), (1.5, level), noise=noise))
    assert (activity[:36] == 1).all()
    assert (activity[44:55] < 0.02).all()
    assert (activity[64:] == 1).all()


def test_speech_and_pause_begin_gradually_and_the_mouth_opens_before_it_is_heard() -> None:
    activity = heard(talk((1.0, 0.0), (2.0, 0.1), (1.0, 0.0)))
    begin, end = 25, 75
    assert 0 < activity[begin - 2] < 1 and activity[begin + 2] == 1
    assert np.abs(np.diff(activity)).max() < 0.45
    assert (np.diff(activity[: begin + 5]) >= -1e-6).all() and (np.diff(activity[end - 5 :]) <= 1e-6).all()


def test_gaps_within_words_are_no_pauses_and_clicks_no_speech() -> None:
    assert (heard(talk((1.9, 0.1), (0.2, 0.0), (1.9, 0.1))) == 1).all()
    clicks = talk((1.5, 0.2), (1.0, 0.0), (0.02, 0.2), (1.0, 0.0), (0.48, 0.2))
    assert (heard(clicks)[44:80] < 0.02).all()


@pytest.mark.parametrize("noise", [0.0, 1e-5, 1e-3])
def test_sound_without_speech_is_a_pause(noise: float) -> None:
    assert (heard(talk((4.0, 0.0), noise=noise)) == 0).all()


def test_sound_without_a_pause_is_speech() -> None:
    assert (heard(talk((4.0, 0.1))) == 1).all()
    steady = 0.1 * np.random.default_rng(0).standard_normal(64_000).astype(np.float32)
    assert (heard(steady) == 1).all()


def test_blocks_of_any_length_give_the_same_and_so_does_a_file(tmp_path: Path) -> None:
    sound = talk((1.5, 0.1), (1.0, 0.0), (1.5, 0.1))
    whole = heard(sound)
    np.testing.assert_array_equal(voice_activity(iter(np.array_split(sound, 77)), 100, FPS), whole)
    write_wav(tmp_path / "a.wav", sound)
    np.testing.assert_allclose(voice_activity(tmp_path / "a.wav", 100, FPS), whole, atol=0.05)


def test_beyond_the_sound_nobody_speaks() -> None:
    assert (heard(talk((1.0, 0.1)), 60)[26:] == 0).all()
    assert (heard(np.zeros(0, np.float32), 3) == 0).all()


def test_a_real_speaker_pauses_between_sentences(shared: Path) -> None:
    activity = voice_activity(shared / "clips" / "broadcast_71s.mp4", 1779, FPS)
    assert 0.75 < activity.mean() < 0.95
