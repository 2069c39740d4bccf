"""Every metric that rests on weights finds their file by one registry, and works on weights of the real layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from onnx_file import write_face_recogniser
from planted import PlantedClip, by_images, measured
from torch.nn import functional

from ns_talking.metrics.fid import Fid
from ns_talking.metrics.identity import Csim
from ns_talking.metrics.lpips import LPIPS, Lpips
from ns_talking.metrics.weights import ALEXNET, INCEPTION, SFACE, WEIGHTS
from ns_talking.process.models import MODELS, find_model
from ns_talking.utils.files import sha256

NUM_FRAMES = 6


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the names and shapes of torchvision's file."""
    torch.manual_seed(0)
    state = torchvision.models.alexnet(weights=None).state_dict()
    # LPIPS has no use for the classifier, whose 200 MB need not be written.
    light = {
        name: torch.zeros(1).expand(value.shape) if "classifier" in name else value for name, value in state.items()
    }
    path = tmp_path_factory.mktemp("alexnet") / ALEXNET.name
    torch.save(light, path)
    return path


@pytest.fixture
def pin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Path], None]:
    """Take a file for the published one, and let nothing else be found."""
    monkeypatch.setenv("NS_TALKING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("NS_TALKING_MODELS", raising=False)

    def pinned(path: Path) -> None:
        model = MODELS[path.name]
        known = dataclasses.replace(model, sha256=sha256(path), num_bytes=path.stat().st_size)
        monkeypatch.setitem(MODELS, path.name, known)

    return pinned


def test_every_file_of_weights_is_registered_and_pinned() -> None:
    for model in WEIGHTS:
        assert MODELS[model.name] is model
        assert model.sha256 is not None and len(model.sha256) == 64 and model.num_bytes
        # Names of torch's own carry the start of the checksum.
        assert not model.in_torch_hub or f"-{model.sha256[:8]}.pth" in model.name


def test_lpips_takes_its_weights_from_the_folder_of_models(
    clip: PlantedClip, alexnet: Path, pin: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(alexnet)
    real, parsing = zip(*clip.images(range(2)), strict=True)
    by_option = dataclasses.replace(clip.context, weights=lambda name: find_model(name, alexnet.parent))
    found = measured(Lpips(by_option), by_images(clip, real, real, parsing))
    assert set(found.values) == {"lpips", "lpips_head", "lpips_mouth"}
    monkeypatch.setenv("NS_TALKING_MODELS", str(alexnet.parent))
    Lpips(dataclasses.replace(clip.context, weights=find_model))


def test_weights_that_torch_hub_keeps_are_found(alexnet: Path, pin: Callable[[Path], None], tmp_path: Path) -> None:
    pin(alexnet)
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    (hub / alexnet.name).write_bytes(alexnet.read_bytes())
    assert find_model(alexnet.name) == hub / alexnet.name


def test_lpips_is_the_weighted_distance_of_normalised_features(alexnet: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    pair = [torch.rand(1, 3, 48, 40, generator=generator) for _ in range(2)]
    features = torchvision.models.alexnet(weights=None)
    features.load_state_dict(torch.load(alexnet))
    distance = LPIPS(alexnet, torch.device("cpu"))
    expected = 0.0
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    maps = [((image * 2 - 1) - shift[:, None, None]) / scale[:, None, None] for image in pair]
    layers = iter(features.features)
    for number, last in enumerate((1, 4, 7, 9, 11)):
        first = (0, 2, 5, 8, 10)[number]
        for _ in range(first, last + 1):
            layer = next(layers)
            maps = [layer(each) for each in maps]
        ours, theirs = (functional.normalize(each, dim=1) for each in maps)
        linear = distance.network.lins[number].model[-1].weight[0]
        expected += float(((ours - theirs).square() * linear).sum(dim=1).mean().detach())
    assert float(distance(*pair)) == pytest.approx(expected, rel=1e-4)
    assert float(distance(pair[0], pair[0])) == 0


def test_lpips_finds_the_region_of_an_error(clip: PlantedClip, alexnet: Path) -> None:
    real, parsing = zip(*clip.images(range(NUM_FRAMES)), strict=True)
    noise = np.random.default_rng(0).integers(0, 255, real[0].shape, dtype=np.uint8)
    boxes = [frame.mouth for frame in by_images(clip, real, real, parsing) if frame.mouth is not None]
    wrong = [image.copy() for image in real]
    for image, (x0, y0, x1, y1) in zip(wrong, boxes, strict=True):
        image[y0:y1, x0:x1] = noise[y0:y1, x0:x1]
    context = dataclasses.replace(clip.context, weights=lambda name: alexnet)
    found = measured(Lpips(context), by_images(clip, wrong, real, parsing)).values
    assert found["lpips_mouth"] > 2 * found["lpips_head"] > 2 * found["lpips"] > 0, found
    perfect = measured(Lpips(context), by_images(clip, real, real, parsing)).values
    assert max(perfect.values()) < 1e-9


def test_other_weights_are_refused_by_name(clip: PlantedClip, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / ALEXNET.name)
    context = dataclasses.replace(clip.context, weights=lambda name: tmp_path / name)
    with pytest.raises(ValueError, match=rf"{ALEXNET.name} does not hold AlexNet's weights.*Get .* from https"):
        Lpips(context)


def test_csim_tells_frames_with_another_person(clip: PlantedClip, pin: Callable[[Path], None], tmp_path: Path) -> None:
    write_face_recogniser(tmp_path / SFACE.name)
    pin(tmp_path / SFACE.name)
    real, parsing = zip(*clip.images(range(NUM_FRAMES)), strict=True)
    others = [image for image, _ in clip.images(range(NUM_FRAMES), other=True)]
    context = dataclasses.replace(clip.context, weights=lambda name: find_model(name, tmp_path))
    found = measured(Csim(context), by_images(clip, [*real[:3], *others[3:]], real, parsing))
    same, swapped = np.split(found.curves["csim"], 2)
    np.testing.assert_allclose(same, 1.0, atol=1e-6)
    assert swapped.max() < 0.99
    assert found.values["csim"] == pytest.approx((same.mean() + swapped.mean()) / 2)


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the names and shapes of torch-fidelity's file."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path_factory.mktemp("inception") / INCEPTION.name
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save({}, path)
        network = FeatureExtractorInceptionV3("random", ["2048"], feature_extractor_weights_path=str(path))
    torch.save(network.state_dict(), path)
    return path


def test_fid_is_none_between_equal_frames_and_grows_with_noise(
    clip: PlantedClip, inception: Path, pin: Callable[[Path], None]
) -> None:
    pin(inception)
    real, parsing = zip(*clip.images(range(2)), strict=True)
    noise = np.random.default_rng(0).normal(0, 32, (2, *real[0].shape))
    noisy = [np.clip(image + each, 0, 255).astype(np.uint8) for image, each in zip(real, noise, strict=True)]
    context = dataclasses.replace(clip.context, weights=lambda name: find_model(name, inception.parent))
    equal, other = (measured(Fid(context), by_images(clip, images, real, parsing)) for images in (real, noisy))
    assert "2 frames" in other.notes["fid"]
    assert equal.values["fid"] == pytest.approx(0, abs=1e-3 * other.values["fid"])
    assert other.values["fid"] > 0
