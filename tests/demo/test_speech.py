from __future__ import annotations

import numpy as np
import pytest

from ns_talking.audio.mel import MelFeatures
from ns_talking.demo.speech import synthesize
from ns_talking.demo.voice import VOICES


def test_sound_and_track_have_the_length_asked_for() -> None:
    samples, mouth = synthesize(2.5, seed=3)
    assert len(samples) == 40_000
    assert mouth.num_frames == 62
    assert np.abs(samples).max() <= 1.0


def test_the_same_seed_says_the_same() -> None:
    first, second = synthesize(1.0, seed=4), synthesize(1.0, seed=4)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1].aperture, second[1].aperture)
    assert np.abs(synthesize(1.0, seed=5)[0] - first[0]).max() > 0.05


@pytest.mark.parametrize("voice", list(VOICES))
def test_every_voice_moves_the_mouth_alike(voice: str) -> None:
    samples, mouth = synthesize(2.0, seed=1, voice=voice)
    np.testing.assert_allclose(mouth.aperture, synthesize(2.0, seed=1)[1].aperture)
    assert samples.std() > 0.02


def test_mouth_opens_wide_and_closes_completely() -> None:
    _, mouth = synthesize(8.0, seed=0)
    assert mouth.aperture.max() > 0.18
    assert (mouth.aperture < 0.01).mean() > 0.1
    assert mouth.width.min() < 0.85
    assert mouth.width.max() > 1.08
    np.testing.assert_allclose(mouth.amplified(1.6).aperture, 1.6 * mouth.aperture, rtol=1e-5)


def test_aperture_can_be_heard() -> None:
    """A linear fit from mel windows on one half of the speech predicts the aperture on the other half."""
    samples, mouth = synthesize(30.0, seed=2)
    features = MelFeatures().extract_blocks(iter([samples]))
    windows = features.windows(np.arange(mouth.num_frames) / mouth.fps).reshape(mouth.num_frames, -1)
    windows = (windows - windows.mean(axis=0)) / (windows.std(axis=0) + 1e-3)
    train, test = slice(0, 500), slice(510, None)
    gram = windows[train] @ windows[train].T + 300.0 * np.eye(500)
    centre = mouth.aperture[train].mean()
    fitted = windows[test] @ windows[train].T @ np.linalg.solve(gram, mouth.aperture[train] - centre) + centre
    assert np.corrcoef(fitted, mouth.aperture[test])[0, 1] > 0.8


def test_unknown_voice_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="alto"):
        synthesize(1.0, voice="whisper")
    with pytest.raises(ValueError, match="positive"):
        synthesize(0.0)
