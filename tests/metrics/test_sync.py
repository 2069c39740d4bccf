"""SyncNet's layout, its inputs, and the scores that are made of its distances."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import SIZE_PX, PlantedClip, by_images, measured

from ns_talking.audio.io import write_wav
from ns_talking.metrics import sync
from ns_talking.metrics.base import MeasuredFrame, Picture
from ns_talking.metrics.mfcc import mfcc
from ns_talking.metrics.sync import MOST_LAG, LagDistances, Sync, crop_face
from ns_talking.metrics.syncnet import SyncNet, load_syncnet

# Names and sizes of parameters of the published syncnet_v2.model, one for each kind of layer.
PUBLISHED = {
    "netcnnaud.0.weight": (64, 1, 3, 3),
    "netcnnaud.4.weight": (192, 64, 3, 3),
    "netcnnaud.14.weight": (256, 256, 3, 3),
    "netcnnaud.18.weight": (512, 256, 5, 4),
    "netcnnaud.19.running_mean": (512,),
    "netcnnlip.0.weight": (96, 3, 5, 7, 7),
    "netcnnlip.4.weight": (256, 96, 1, 5, 5),
    "netcnnlip.18.weight": (512, 256, 1, 6, 6),
    "netfcaud.0.weight": (512, 512),
    "netfclip.3.weight": (1024, 512),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "syncnet_v2.model"
    torch.save(SyncNet().state_dict(), path)
    return path


def test_the_layout_is_that_of_the_published_weights() -> None:
    state = SyncNet().state_dict()
    assert {name: tuple(state[name].shape) for name in PUBLISHED} == PUBLISHED


def test_weights_of_old_versions_that_count_no_batches_load(weights: Path, tmp_path: Path) -> None:
    state = {name: value for name, value in torch.load(weights).items() if "num_batches" not in name}
    torch.save(state, tmp_path / "old.model")
    load_syncnet(tmp_path / "old.model", torch.device("cpu"))
    del state["netfcaud.0.weight"]
    torch.save(state, tmp_path / "torn.model")
    with pytest.raises(ValueError, match="1 parameters are missing"):
        load_syncnet(tmp_path / "torn.model", torch.device("cpu"))


def test_mfcc_are_those_of_the_package_that_syncnet_was_trained_with() -> None:
    # Step 10 of a sine of 440 Hz and amplitude 8000, by python_speech_features 0.6.
    expected = [19.0658, 19.5109, 2.6439, -13.1920, -26.1666, -32.5275, -28.6776, -17.6708, -2.3728, 10.7921]
    expected += [18.8863, 18.6906, 12.3810]
    samples = (8000 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.int16) / 32768
    found = mfcc([samples])
    assert len(found) == 99
    np.testing.assert_allclose(found[10], expected, atol=1e-3)


def test_mfcc_do_not_depend_on_how_the_sound_is_cut() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 16_123)
    parts = [samples[:5000], samples[5000:5001], samples[5001:]]
    np.testing.assert_allclose(mfcc(parts), mfcc([samples]), atol=1e-4)


@pytest.mark.parametrize("lag", [-7, 0, 3])
def test_the_lag_of_planted_embeddings_is_found(lag: int) -> None:
    instants = np.random.default_rng(0).normal(size=(120, 16))
    distances = LagDistances()
    for index in range(10, 110):
        # Late lips show at an instant what was heard `lag` frames before.
        distances.add(index, instants[index - lag], instants[index])
    means, count = distances.means()
    assert count == 100
    assert MOST_LAG - int(np.argmin(means)) == lag
    assert means.min() < 0.1 * np.median(means) + abs(lag) * 0.05


def test_a_face_is_cut_with_a_margin_below_the_chin() -> None:
    image = np.zeros((200, 200, 3), dtype=np.uint8)
    image[60:140, 60:140] = (255, 0, 0)
    face = crop_face(image, (100.0, 100.0), 40.0)
    assert face.shape == (224, 224, 3)
    rows, columns = np.flatnonzero(face[..., 2].max(axis=1) > 128), np.flatnonzero(face[..., 2].max(axis=0) > 128)
    # The box fills 1 / 1.4 of the square: from its top, and in the middle from left to right.
    assert rows[0] == 0 and rows[-1] == pytest.approx(160, abs=2)
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(112, abs=2)


def test_random_weights_score_every_window_and_hear_nothing(clip: PlantedClip, weights: Path) -> None:
    count = 30
    images, parsing = zip(*[clip.images([0])[0]] * count, strict=True)
    context = dataclasses.replace(clip.context, weights=lambda name: weights)
    found = measured(Sync(context), by_images(clip, images, images, parsing))
    assert images[0].shape[0] == SIZE_PX
    assert set(found.values) == {"lse_c", "lse_d", "sync_offset"}
    assert found.notes["lse_c"].startswith("26 windows")
    assert found.values["lse_c"] >= 0 and found.values["lse_d"] > 0


@pytest.mark.parametrize("lag", [-5, 0, 4])
def test_pictures_that_are_late_are_found_to_the_frame(
    clip: PlantedClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lag: int
) -> None:
    """A network that hears loudness and sees brightness finds frames whose brightness is the loudness, moved."""
    count, steps = 150, 4
    loudness = np.random.default_rng(0).uniform(0.02, 0.9, count + 40).round(2)
    samples = np.repeat(loudness[20:-20], 640) * np.sin(np.arange(count * 640))
    write_wav(tmp_path / "steps.wav", samples.astype(np.float32))
    heard = mfcc([samples])[:, 0]
    low, high = heard.min(), heard.max()

    class Network:
        def embed_sound(self, coefficients: torch.Tensor) -> torch.Tensor:
            # The step in the middle of each of the five frames.
            return (coefficients[:, 0, 1::steps] - low) / (high - low)

        def embed_face(self, faces: torch.Tensor) -> torch.Tensor:
            return faces[:, :, 80:140, 80:140].mean(dim=(2, 3, 4)) / 255

    monkeypatch.setattr(sync, "load_syncnet", lambda path, device: Network())
    level = (heard[1::steps] - low) / (high - low)
    level = np.pad(level, (20, 40), mode="reflect")
    points = clip.points(clip.aperture[:1])[0]
    context = dataclasses.replace(clip.context, sound=tmp_path / "steps.wav", weights=lambda name: tmp_path / name)
    frames = [
        MeasuredFrame(k, k, Picture(np.full((64, 64, 3), round(255 * level[20 + k - lag]), np.uint8), points))
        for k in range(count)
    ]
    found = measured(Sync(context), frames).values
    assert found["sync_offset"] == lag
    assert found["lse_d"] < 0.1 < found["lse_c"]


def test_too_few_frames_are_a_reason(clip: PlantedClip, weights: Path) -> None:
    images, parsing = zip(*clip.images(range(6)), strict=True)
    context = dataclasses.replace(clip.context, weights=lambda name: weights)
    found = measured(Sync(context), by_images(clip, images, images, parsing))
    assert not found.values and "2 windows" in found.missing["lse_c"]
