"""Laws of features from speech networks, with small random ones in the files of the published models."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from speech_models import CHANNELS, MODULES, install, small_network

from ns_talking.audio.extractors import feature_extractor
from ns_talking.audio.io import write_wav
from ns_talking.audio.speech_model import SpeechModelFeatures
from ns_talking.audio.waveform import receptive_field

WAVEFORM = ["hubert", "wav2vec2"]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SpeechModelFeatures]:
    def make(name: str) -> SpeechModelFeatures:
        install(name, tmp_path / "models", monkeypatch)
        extractor = feature_extractor(name)
        assert isinstance(extractor, SpeechModelFeatures)
        return extractor

    return make


def speech_like(duration_s: float, seed: int = 0) -> np.ndarray:
    """Noise that swells and fades, twice as loud in its second half, with an offset."""
    generator = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * 16000)) / 16000
    loud = np.abs(np.sin(2 * time_s)) * (1 + (time_s > duration_s / 2))
    return (0.1 * loud * generator.standard_normal(len(time_s)) + 0.01).astype(np.float32)


def table(extractor: SpeechModelFeatures, sound: np.ndarray) -> np.ndarray:
    return extractor.extract_blocks(lambda: [sound]).values


@pytest.mark.parametrize("name", MODULES)
def test_the_published_files_fill_the_network_with_their_weights(name: str, make) -> None:
    loaded = make(name).model.load()
    published = small_network(name)
    expected = getattr(published, "model" if name == "whisper" else name).state_dict()
    found = loaded.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)


@pytest.mark.parametrize("name", WAVEFORM)
def test_short_sound_is_what_the_network_says_of_the_whole(name: str, make) -> None:
    extractor = make(name)
    sound = speech_like(3.0)
    network = extractor.model.load()
    standard = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
    receptive, stride = receptive_field(network.config)
    assert (receptive, stride) == (400, 320)
    padded = torch.from_numpy(np.pad(standard, (200, 200)).astype(np.float32))
    expected = network(padded[None]).last_hidden_state[0]
    found = table(extractor, sound)
    assert found.shape == (151, CHANNELS) == tuple(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", MODULES)
def test_features_in_blocks_equal_features_of_the_whole(name: str, make) -> None:
    extractor = make(name)
    sound = speech_like(45.0)
    blocks = extractor.extract_blocks(lambda: iter(np.array_split(sound, 71)))
    np.testing.assert_allclose(blocks.values, table(extractor, sound), atol=1e-5)


@pytest.mark.parametrize("name", WAVEFORM)
def test_all_but_attention_hears_the_same_in_chunks_as_in_the_whole(name: str, make, monkeypatch) -> None:
    # Neither normalisation, nor the group norm of base models, nor convolutions, nor the joints may differ.
    extractor = make(name)
    load = type(extractor.model).load

    def deaf(*arguments: object) -> object:
        network = load(*arguments)
        for key, weight in network.named_parameters():
            if ".out_proj." in key:
                weight.zero_()
        return network

    monkeypatch.setattr(type(extractor.model), "load", deaf)
    sound = speech_like(70.0)
    whole = table(replace(extractor, chunk_s=100.0), sound)
    np.testing.assert_allclose(table(extractor, sound), whole, atol=1e-4)


@pytest.mark.parametrize("name", WAVEFORM)
def test_attention_to_the_rest_of_the_sound_is_all_that_chunks_take_away(name: str, make) -> None:
    extractor = make(name)
    sound = speech_like(70.0)
    whole = table(replace(extractor, chunk_s=100.0), sound)
    difference = table(extractor, sound) - whole
    assert np.sqrt(np.square(difference).mean()) < 0.02 * whole.std()
    # Nothing jumps where a chunk ends.
    assert np.abs(np.diff(difference, axis=0)).max() < 0.02


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("instant_s", [0.52, 1.0, 2.28])
def test_a_click_is_heard_in_the_window_of_its_frame(name: str, make, write_sound, clicks, instant_s: float) -> None:
    extractor = make(name)
    features = extractor.extract(write_sound("a.wav", clicks([instant_s], 3.0, 44100, 2), 44100))
    change = features.values - table(extractor, np.zeros(3 * 16000, np.float32))
    surprise = np.linalg.norm(change - np.median(change, axis=0), axis=1)
    surprise[[0, 1, -2, -1]] = 0  # The sound itself begins and ends there.
    assert abs(int(surprise.argmax()) - instant_s * 50) <= 1
    heard = replace(features, values=surprise[:, None], silence=np.zeros(1, np.float32))
    loudest = heard.windows(np.arange(75) / 25).max(axis=(1, 2))
    assert abs(int(loudest.argmax()) - instant_s * 25) <= 1


@pytest.mark.parametrize("name", MODULES)
def test_windows_of_frames_have_the_peers_shape_and_share_out_the_steps(name: str, make) -> None:
    features = make(name).extract_blocks(lambda: [speech_like(2.0)])
    assert features.steps_per_frame(25.0) == 2
    windows = features.windows(np.arange(1, 50) / 25)
    assert windows.shape == (49, CHANNELS, 2)
    np.testing.assert_array_equal(windows.transpose(0, 2, 1).reshape(98, CHANNELS), features.values[1:99])


def test_the_pins_are_those_of_the_cards() -> None:
    channels = {"hubert": 1024, "wav2vec2": 768, "whisper": 512}
    for name, module in MODULES.items():
        assert feature_extractor(name).channels == channels[name]
        assert len(module.MODEL.revision) == 40 and len(module.MODEL.sha256) == 64


def test_a_table_is_read_without_the_model_that_made_it(make, tmp_path: Path, monkeypatch) -> None:
    extractor = make("hubert")
    write_wav(tmp_path / "a.wav", speech_like(1.0))
    made = extractor.extract(tmp_path / "a.wav", tmp_path / "features" / "hubert.npy")
    monkeypatch.undo()
    read = feature_extractor("hubert").load(tmp_path / "features" / "hubert.npy")
    assert isinstance(read.values, np.memmap)
    assert read.identity == made.identity != feature_extractor("hubert").identity()
    assert (read.rate_hz, read.window, read.duration_s) == (50.0, 2, pytest.approx(1.0))
    np.testing.assert_array_equal(read.silence, made.silence)
    instants_s = np.arange(-3, 30) / 25
    np.testing.assert_array_equal(read.windows(instants_s), made.windows(instants_s))


def test_a_table_without_its_description_or_with_another_is_refused(tmp_path: Path, make) -> None:
    path = tmp_path / "hubert.npy"
    np.save(path, np.zeros((5, CHANNELS), np.float32))
    with pytest.raises(FileNotFoundError, match=r"lacks the file hubert.json.*--audio-features hubert"):
        make("hubert").load(path)
    write_wav(tmp_path / "a.wav", speech_like(0.5))
    make("hubert").extract(tmp_path / "a.wav", path)
    np.save(path, np.zeros((5, 7), np.float32))
    with pytest.raises(ValueError, match=r"shape \(5, 7\), hubert.json describes 24 channels"):
        make("hubert").load(path)


def test_silence_is_what_the_network_says_of_digital_silence(make) -> None:
    features = make("hubert").extract_blocks(lambda: [np.zeros(32000, np.float32)])
    np.testing.assert_allclose(features.silence, np.median(features.values, axis=0), atol=1e-3)


def test_four_minutes_cost_no_more_memory_than_one(make, tmp_path: Path) -> None:
    extractor = make("wav2vec2")

    def peak(num_blocks: int) -> int:
        block = speech_like(10.0)
        tracemalloc.start()
        extractor.extract_blocks(lambda: (block for _ in range(num_blocks)), tmp_path / "t.npy")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # Imports count once.
    assert peak(24) < 1.2 * peak(6)


def test_a_missing_model_says_where_to_get_it_and_where_to_put_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NS_TALKING_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NS_TALKING_MODELS", raising=False)
    write_wav(tmp_path / "a.wav", speech_like(0.5))
    with pytest.raises(FileNotFoundError) as caught:
        feature_extractor("hubert", tmp_path / "mine").extract(tmp_path / "a.wav", tmp_path / "hubert.npy")
    message = str(caught.value)
    for part in (
        "https://huggingface.co/facebook/hubert-large-ls960-ft/resolve/ece5fabbf034c1073acae96d5401b25be96709d8/",
        str(tmp_path / "mine"),
        str(tmp_path / "cache" / "models" / "hubert-large-ls960-ft"),
        "NS_TALKING_MODELS",
        "Apache-2.0",
    ):
        assert part in message
    assert not (tmp_path / "hubert.npy").exists()


def test_weights_that_are_not_the_pinned_ones_are_refused(make, tmp_path: Path) -> None:
    extractor = make("hubert")
    weights = tmp_path / "models" / "hubert-large-ls960-ft" / "pytorch_model.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"SHA-256 differs.*Delete it"):
        extractor.extract_blocks(lambda: [speech_like(0.5)])


def test_weights_that_leave_part_of_the_network_empty_are_refused(make, tmp_path: Path) -> None:
    pin = make("hubert").model
    weights = tmp_path / "models" / "hubert-large-ls960-ft" / "pytorch_model.bin"
    state = torch.load(weights, weights_only=True)
    del state["hubert.encoder.layers.1.final_layer_norm.weight"]
    torch.save(state, weights)
    pin = replace(pin, sha256=hashlib.sha256(weights.read_bytes()).hexdigest(), num_bytes=weights.stat().st_size)
    with pytest.raises(ValueError, match=r"does not fill the model HubertModel.*final_layer_norm.weight"):
        pin.load()


@pytest.mark.parametrize("name", MODULES)
def test_another_network_than_the_published_one_is_refused(name: str, make) -> None:
    extractor = make(name)
    wrong = replace(extractor, model=replace(extractor.model, channels=99))
    with pytest.raises(ValueError, match="Use the published model"):
        wrong.extract_blocks(lambda: [speech_like(0.5)])


def test_a_failed_extraction_leaves_no_file(make, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing.wav"):
        make("wav2vec2").extract(tmp_path / "nothing.wav", tmp_path / "out" / "wav2vec2.npy")
    assert not list((tmp_path / "out").iterdir())
