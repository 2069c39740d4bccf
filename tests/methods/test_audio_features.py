"""A portrait on speech features: from the sound file to a rendered frame, with a small HuBERT."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from portraits import write_tiny_portrait
from speech_models import CHANNELS, install

from ns_talking.audio.io import write_wav
from ns_talking.driving.features import extract_features
from ns_talking.methods.er_nerf import ERNeRFModelConfig, er_nerf
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.modules.lip_shape_fit import LipShapeFitConfig
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.rendering.occupancy import OccupancyGridConfig


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny portrait with features of a small HuBERT beside mel."""
    install("hubert", tmp_path / "models", monkeypatch)
    folder = write_tiny_portrait(tmp_path / "tiny", num_frames=60, size=32)
    features = extract_features("hubert", folder / "audio.wav", folder / "features" / "hubert.npy")
    transforms = json.loads((folder / "transforms.json").read_text())
    transforms["features"]["hubert"] = features.identity
    (folder / "transforms.json").write_text(json.dumps(transforms))
    return folder


def build(folder: Path, test_mode: str, **model: object) -> PortraitPipeline:
    config = deepcopy(er_nerf.config.pipeline)
    config.datamanager.data = folder
    config.datamanager.working_size = None
    config.datamanager.train_num_rays_per_batch = 64
    config.datamanager.frames_per_batch = 2
    lip_shape = LipShapeFitConfig(num_components=2, num_projections=16, network_iterations=5, num_folds=2)
    config.model = ERNeRFModelConfig(
        audio_code=AudioCodeConfig(use_lip_shape=True, lip_shape=lip_shape),
        occupancy=OccupancyGridConfig(resolution=16, update_interval=4),
        **model,  # type: ignore[arg-type] # Checked by the dataclass's users.
    )
    return config.setup(device="cpu", test_mode=test_mode)


def test_hubert_drives_a_portrait_from_its_dataset_and_from_other_sound(dataset: Path, tmp_path: Path) -> None:
    pipeline = build(dataset, "val")
    code = pipeline.portrait_model.audio_code
    assert pipeline.clip_track.features.name == "hubert"
    assert code.mean.shape == (CHANNELS,) and code.lip_fit is not None
    assert code.lip_fit.span == 16
    assert "hubert-large-ls960-ft@ece5fabbf034" in pipeline.audio_identity
    _, losses, _ = pipeline.get_train_loss_dict(0)
    torch.stack(list(losses.values())).sum().backward()
    assert code.encoder is not None
    assert float(code.encoder.window_encoder.convolutions[0].weight.grad.abs().sum()) > 0
    loaded = build(dataset, "inference")
    loaded.load_pipeline(pipeline.state_dict(), 1)
    assert loaded.audio_identity == pipeline.audio_identity
    sound = 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    write_wav(tmp_path / "speech.wav", sound)
    track = loaded.set_audio(tmp_path / "speech.wav", output=tmp_path / "speech.npy")
    assert track.num_frames == 50
    camera = loaded.datamanager.train_dataset.cameras[0:1]
    rgb = loaded.model.eval().get_outputs_for_camera(camera)["rgb"]
    assert rgb.shape == (32, 32, 3) and bool(torch.isfinite(rgb).all())


def test_other_weights_than_those_of_the_training_are_refused_at_rendering(
    dataset: Path, tmp_path, monkeypatch
) -> None:
    pipeline = build(dataset, "inference")
    install("hubert", tmp_path / "others", monkeypatch, seed=1)
    write_wav(tmp_path / "speech.wav", np.zeros(16_000, np.float32))
    with pytest.raises(ValueError, match=r"trained with the audio features 'hubert-v1.*this ns-talking extracts"):
        pipeline.set_audio(tmp_path / "speech.wav")


def test_mel_is_taken_where_a_dataset_holds_nothing_else_or_it_is_asked_for(dataset: Path) -> None:
    assert build(dataset, "inference", audio_features="mel").clip_track.features.name == "mel"
    transforms = json.loads((dataset / "transforms.json").read_text())
    del transforms["features"]["hubert"]
    (dataset / "transforms.json").write_text(json.dumps(transforms))
    assert build(dataset, "inference").clip_track.features.name == "mel"
    with pytest.raises(ValueError, match=r"no 'hubert' audio features, it has: mel.*--audio-features hubert"):
        build(dataset, "inference", audio_features="hubert")


def test_a_portrait_on_windows_of_another_tool_takes_that_tools_file_for_other_sound(dataset: Path, tmp_path) -> None:
    generator = np.random.default_rng(0)
    np.save(dataset / "features" / "deepspeech.npy", generator.normal(size=(60, 16, 29)).astype(np.float32))
    transforms = json.loads((dataset / "transforms.json").read_text())
    transforms["features"]["deepspeech"] = "of another tool"
    (dataset / "transforms.json").write_text(json.dumps(transforms))
    pipeline = build(dataset, "inference", audio_features="deepspeech")
    assert pipeline.portrait_model.audio_code.lip_fit is not None
    write_wav(tmp_path / "speech.wav", np.zeros(32_000, np.float32))
    with pytest.raises(ValueError, match=r"no extractor for them.*--features FILE"):
        pipeline.set_audio(tmp_path / "speech.wav")
    np.save(tmp_path / "speech_ds.npy", generator.normal(size=(50, 16, 29)).astype(np.float32))
    track = pipeline.set_audio(tmp_path / "speech.wav", features=tmp_path / "speech_ds.npy")
    assert (track.features.name, track.num_frames) == ("deepspeech", 50)
    np.save(tmp_path / "speech_hu.npy", generator.normal(size=(50, 2, 29)).astype(np.float32))
    with pytest.raises(ValueError, match=r"this ns-talking found 'windows-deepspeech window=2"):
        pipeline.set_audio(tmp_path / "speech.wav", features=tmp_path / "speech_hu.npy")
