"""Laws of uploads: sound becomes a wav file, anything else an explanation, and nothing leaves the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ns_talking.audio.io import read_audio, write_wav
from ns_talking.utils.video import VideoWriter
from ns_talking.viewer import sounds
from ns_talking.viewer.sounds import browser_sound, safe_name, store_upload


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two seconds with a burst at 1.2 s."""
    sound = np.zeros(32_000, np.float32)
    sound[19_200:20_800] = np.random.default_rng(0).uniform(-0.9, 0.9, 1600)
    write_wav(tmp_path / "speech.wav", sound)
    return tmp_path / "speech.wav"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("talk one.mp3", "talk_one.wav"),
        ("../../etc/passwd", "passwd.wav"),
        ("C:\\files\\a<b>.mp4", "a_b.wav"),
        ("..", "sound.wav"),
        ("语音.m4a", "sound.wav"),
        ("x" * 500 + ".wav", "x" * 60 + ".wav"),
    ],
)
def test_names_of_uploads_become_names_of_files_here(name: str, expected: str) -> None:
    assert safe_name(name) == expected


def test_the_sound_of_a_video_is_kept(speech: Path, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "talk.mp4", 16, 16, 25.0, speech) as video:
        for _ in range(50):
            video.write(np.zeros((16, 16, 3), np.uint8))
    stored = store_upload("../talk.mp4", (tmp_path / "talk.mp4").read_bytes(), tmp_path / "audio")
    assert stored == tmp_path / "audio" / "talk.wav"
    heard = np.flatnonzero(np.abs(read_audio(stored)) > 0.3) / 16_000
    np.testing.assert_allclose((heard.min(), heard.max()), (1.2, 1.3), atol=0.005)
    assert [path.name for path in (tmp_path / "audio").iterdir()] == ["talk.wav"]


def test_what_is_no_sound_is_explained_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="The file cannot be read as sound or video"):
        store_upload("a.wav", b"RIFF no sound at all" * 99, tmp_path / "audio")
    monkeypatch.setattr(sounds, "MAX_UPLOAD_MB", 0.001)
    with pytest.raises(ValueError, match="can be uploaded. Cut or compress it"):
        store_upload("a.wav", b"0" * 2000, tmp_path / "audio")
    assert not list((tmp_path / "audio").iterdir())


def test_a_decoder_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "_TIMEOUT_S", 0.01)
    with pytest.raises(ValueError, match="took more than"):
        store_upload("a.wav", b"0" * 2000, tmp_path)


def test_the_browser_hears_the_sound_at_its_instant_and_sees_it_there(speech: Path, tmp_path: Path) -> None:
    sound = browser_sound(speech)
    (tmp_path / "sound.mp3").write_bytes(sound.mp3)
    heard = np.flatnonzero(np.abs(read_audio(tmp_path / "sound.mp3")) > 0.2) / 16_000
    np.testing.assert_allclose((heard.min(), heard.max()), (1.2, 1.3), atol=0.01)
    assert sound.duration_s == pytest.approx(2.0)
    loud = np.flatnonzero(np.array(sound.peaks) > 0.3) / len(sound.peaks) * 2
    np.testing.assert_allclose((loud.min(), loud.max()), (1.2, 1.3), atol=0.02)
