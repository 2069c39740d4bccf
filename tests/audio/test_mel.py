"""Laws of the log-mel features, which hold for every extractor of the registry as far as they can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from speech_models import install

from ns_talking.audio import FEATURES
from ns_talking.audio.base import FeatureExtractor, FeatureTable, TableWriter, num_frames_of
from ns_talking.audio.io import write_wav
from ns_talking.audio.mel import MelFeatures
from ns_talking.utils.registry import lookup


def noise(duration_s: float, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.standard_normal(round(duration_s * 16000)) * 0.1).astype(np.float32)


@pytest.mark.parametrize("name", FEATURES)
def test_extractor_keeps_the_contract(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(name, tmp_path / "models", monkeypatch)
    extractor = lookup(FEATURES, name, "audio features")()
    assert isinstance(extractor, FeatureExtractor)
    write_wav(tmp_path / "a.wav", noise(1.3))
    features = extractor.extract(tmp_path / "a.wav")
    assert isinstance(features, FeatureTable)
    assert (features.name, features.identity) == (name, extractor.identity())
    assert features.values.shape[1] == extractor.channels
    assert len(features.values) / extractor.rate_hz == pytest.approx(1.3, abs=2 / extractor.rate_hz)
    assert features.duration_s == pytest.approx(1.3)
    assert np.isfinite(features.values).all()
    np.testing.assert_array_equal(extractor.extract(tmp_path / "a.wav").values, features.values)


@pytest.mark.parametrize("block_s", [0.003, 0.11, 1.0])
def test_features_in_blocks_equal_features_of_the_whole(tmp_path: Path, block_s: float) -> None:
    write_wav(tmp_path / "a.wav", noise(2.345))
    whole = MelFeatures(block_s=100.0).extract(tmp_path / "a.wav")
    blocks = MelFeatures(block_s=block_s).extract(tmp_path / "a.wav")
    assert len(whole.values) == 235
    np.testing.assert_allclose(blocks.values, whole.values, atol=1e-4)


def test_silence_row_is_the_response_to_digital_silence(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(16000, np.float32))
    features = MelFeatures().extract(tmp_path / "a.wav")
    np.testing.assert_array_equal(features.values, np.tile(features.silence, (101, 1)))


def test_a_full_scale_sine_is_about_zero_in_its_band_and_every_band_hears_something(tmp_path: Path) -> None:
    time_s = np.arange(16000) / 16000
    loudest = []
    for frequency in (100, 440, 1000, 4000):
        write_wav(tmp_path / "a.wav", np.sin(2 * np.pi * frequency * time_s).astype(np.float32))
        step = MelFeatures().extract(tmp_path / "a.wav").values[50]
        assert step.max() == pytest.approx(0, abs=0.6)
        loudest.append(int(step.argmax()))
    assert loudest == sorted(set(loudest))
    write_wav(tmp_path / "a.wav", noise(1.0))
    assert (MelFeatures().extract(tmp_path / "a.wav").values[50] > -7).all()


@pytest.mark.parametrize("instant_s", [0.0, 0.4, 1.0, 1.96])
def test_a_click_peaks_in_the_middle_of_the_window_of_its_frame(write_sound, clicks, instant_s: float) -> None:
    features = MelFeatures().extract(write_sound("a.wav", clicks([instant_s], 2.0, 44100, 2), 44100))
    energy = features.values.max(axis=1)
    assert int(energy.argmax()) == round(instant_s * 100)
    windows = features.windows(np.arange(50) / 25)
    frame = round(instant_s * 25)
    assert windows.shape == (50, 80, 16)
    assert int(windows[frame].max(axis=0).argmax()) == 8
    assert int(windows.max(axis=1)[:, 8].argmax()) == frame


def test_outside_the_sound_windows_are_silent(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", noise(1.0))
    features = MelFeatures().extract(tmp_path / "a.wav")
    windows = features.windows(np.array([-1.0, -0.02, 9.0]))
    assert (windows[[0, 2]] == features.silence[:, None]).all()
    np.testing.assert_array_equal(windows[1, :, 10:], features.values[:6].T)


def test_features_on_disk_equal_features_in_memory_and_can_be_loaded_again(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", noise(1.0))
    extractor = MelFeatures()
    memory = extractor.extract(tmp_path / "a.wav")
    disk = extractor.extract(tmp_path / "a.wav", tmp_path / "deep" / "mel.npy")
    assert isinstance(disk.values, np.memmap)
    np.testing.assert_array_equal(disk.values, memory.values)
    loaded = extractor.load(tmp_path / "deep" / "mel.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "deep" / "mel.npy"), memory.values)
    assert loaded.identity == memory.identity
    assert loaded.duration_s == pytest.approx(memory.duration_s, abs=0.01)
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["mel.npy"]


def test_a_failed_extraction_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        MelFeatures().extract(tmp_path / "nothing.wav", tmp_path / "mel.npy")
    assert list(tmp_path.iterdir()) == []


def test_an_hour_of_sound_costs_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    import tracemalloc

    blocks = (noise(10.0) for _ in range(60))
    tracemalloc.start()
    features = MelFeatures().extract_blocks(blocks, tmp_path / "mel.npy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert features.values.shape == (60_001, 80)
    assert peak < 40e6
    assert features.values.nbytes < 20e6 < 3600 * 100 * 80 * 4


def test_identity_names_every_setting_that_changes_values() -> None:
    assert MelFeatures().identity() != MelFeatures(hop=200).identity()
    assert MelFeatures().identity() == MelFeatures(block_s=3.0).identity()


def test_a_table_of_another_width_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "mel.npy", np.zeros((5, 29), np.float32))
    with pytest.raises(ValueError, match=r"mel features have 80 channels.*Extract them again"):
        MelFeatures().load(tmp_path / "mel.npy")


@pytest.mark.parametrize("num_rows", [0, 1, 1000])
def test_a_streamed_table_is_an_ordinary_npy_file(tmp_path: Path, num_rows: int) -> None:
    rows = np.arange(num_rows * 3, dtype=np.float32).reshape(num_rows, 3)
    table = TableWriter(3, tmp_path / "t.npy")
    for part in np.array_split(rows, 7):
        table.append(part)
    np.testing.assert_array_equal(table.close(), rows)
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), rows)


def test_frames_cover_the_sound() -> None:
    assert [num_frames_of(duration_s, 25.0) for duration_s in (0.0, 0.001, 1.0, 1.0 + 1e-9, 1.01)] == [1, 1, 25, 25, 26]
