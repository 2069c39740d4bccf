"""Laws of reading and writing sound."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ns_talking.audio.io import audio_duration_s, read_audio, stream_audio, write_wav


def loudest_s(samples: np.ndarray, rate: int = 16_000, around: float | None = None, width: float = 0.2) -> float:
    weight = np.abs(samples)
    if around is not None:
        time_s = np.arange(len(samples)) / rate
        weight = np.where(np.abs(time_s - around) < width, weight, 0)
    return float(np.argmax(weight) / rate)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.m4a", "a.mp4", "a.mkv"])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 1), (44100, 2), (48000, 2)])
def test_a_click_stays_at_its_instant_in_every_container(write_sound, clicks, name, rate, channels) -> None:
    samples = read_audio(write_sound(name, clicks([0.5, 1.5], 2.0, rate, channels), rate))
    assert abs(len(samples) / 16_000 - 2.0) < (0.2 if name[-3:] in ("mp3", "m4a", "mp4") else 1e-3)
    for instant in (0.5, 1.5):
        assert abs(loudest_s(samples, around=instant) - instant) < 0.0015
    assert 0.6 < np.abs(samples).max() < 1.0


def test_surround_sound_is_mixed_to_mono(write_sound, clicks) -> None:
    sound = np.zeros((6, 48000), np.float32)
    sound[2] = clicks([0.5], 1.0, 48000)[0]
    samples = read_audio(write_sound("a.wav", sound, 48000))
    assert abs(loudest_s(samples) - 0.5) < 0.001
    assert np.abs(samples).max() > 0.3


def test_stereo_is_averaged(write_sound) -> None:
    left = 0.5 * np.sin(np.arange(16000) / 10)
    samples = read_audio(write_sound("a.wav", np.stack([left, 0 * left]).astype(np.float32), 16000))
    np.testing.assert_allclose(samples, left / 2, atol=1e-4)


@pytest.mark.parametrize(("sound_s", "video_s"), [(0.0, 0.08), (0.4, 0.0), (0.0, 0.0), (0.2, 0.36)])
def test_start_of_both_streams_is_honoured_on_the_clock_of_the_file(write_sound, clicks, sound_s, video_s) -> None:
    path = write_sound("a.mkv", clicks([0.5], 1.0, 48000), 48000, start_s=sound_s, video_start_s=video_s)
    for start_s in (0.0, video_s):
        samples = read_audio(path, start_s=start_s)
        assert abs(loudest_s(samples) - (sound_s + 0.5 - start_s)) < 0.002
    first = min(sound_s, video_s)
    assert abs(loudest_s(read_audio(path)) - (sound_s + 0.5 - first)) < 0.002


def test_a_span_equals_the_same_span_of_the_whole(write_sound, clicks) -> None:
    path = write_sound("a.wav", clicks([0.5, 1.1], 2.0, 16000), 16000)
    whole = read_audio(path)
    np.testing.assert_array_equal(read_audio(path, start_s=0.3, duration_s=1.0), whole[4800:20800])
    assert len(read_audio(path, start_s=5.0)) == 0


@pytest.mark.parametrize("block_s", [0.01, 0.37, 100.0])
def test_blocks_join_to_the_whole(write_sound, clicks, block_s) -> None:
    path = write_sound("a.wav", clicks([0.5, 1.1], 2.0, 44100, 2), 44100)
    blocks = list(stream_audio(path, block_s=block_s))
    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(path))
    assert {len(block) for block in blocks[:-1]} <= {round(block_s * 16000)}


def test_a_gap_between_timestamps_becomes_silence_of_its_length(tmp_path: Path) -> None:
    import av

    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for start in (0, 1600, 4800):
            frame = av.AudioFrame.from_ndarray(np.full((1, 1600), 16000, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 16000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples = read_audio(path)
    assert len(samples) == 6400
    assert (samples[3200:4800] == 0).all()
    assert (samples[:3200] > 0.4).all()
    assert (samples[4800:] > 0.4).all()


def test_wav_round_trip_is_exact_to_half_a_level_and_clips(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 999).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), samples, atol=1.01 / 32768)
    write_wav(tmp_path / "b.wav", np.array([-7.0, 7.0], np.float32), 48000)
    loud = read_audio(tmp_path / "b.wav", 48000)
    np.testing.assert_allclose(loud, [-1, 1], atol=1e-4)


def test_duration_is_that_of_the_samples(write_sound, clicks) -> None:
    assert audio_duration_s(write_sound("a.wav", clicks([0.5], 1.234, 16000), 16000)) == pytest.approx(1.234)


def test_long_sound_streams_at_constant_memory(tmp_path: Path) -> None:
    import wave

    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        for _ in range(3):
            file.writeframes(bytes(2 * 16000 * 60))
    tracemalloc.start()
    total = sum(len(block) for block in stream_audio(path, block_s=1.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 180 * 16000
    assert peak < 2e6 < 180 * 16000 * 4


def test_files_without_readable_sound_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not exist.*Name a sound or video file"):
        read_audio(tmp_path / "nothing.wav")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_audio(tmp_path)
    (tmp_path / "empty.wav").touch()
    with pytest.raises(ValueError, match=r"is empty \(0 bytes\)"):
        read_audio(tmp_path / "empty.wav")
    (tmp_path / "text.wav").write_text("This is no sound.\n" * 100)
    with pytest.raises(ValueError, match=r"cannot be read as sound or video .* wav, mp3"):
        read_audio(tmp_path / "text.wav")
    write_wav(tmp_path / "none.wav", np.zeros(0, np.float32))
    with pytest.raises(ValueError, match="without a single sample"):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(ValueError, match="one channel of finite samples"):
        write_wav(tmp_path / "c.wav", np.zeros((2, 10), np.float32)[:, 0] * np.nan)


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    from ns_talking.utils.video import VideoWriter

    with VideoWriter(tmp_path / "mute.mp4", 16, 16, 25.0, None) as writer:
        writer.write(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="has no sound track"):
        read_audio(tmp_path / "mute.mp4")


def test_real_speech_is_read(shared: Path) -> None:
    assert audio_duration_s(shared / "speech/english_8s.wav") == pytest.approx(8.0, abs=0.1)
    broadcast = read_audio(shared / "clips/broadcast_71s.mp4", duration_s=5.0)
    assert len(broadcast) == 80000
    assert 0.01 < broadcast.std() < 0.5


def test_a_rate_that_no_sound_has_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(800, np.float32))
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[24:28] = (2_000_000_000).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.wav says that its sound has 2000000000 samples a second"):
        read_audio(tmp_path / "a.wav")
