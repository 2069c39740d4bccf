"""The mouth rests while nobody speaks: the law of `--silence rest`, for every method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ns_talking.audio.io import write_wav
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.pipelines.portrait import PortraitPipeline

SPEECH, PAUSE = slice(5, 45), slice(60, 90)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two seconds of loud syllables, two of a restless background 25 dB below, two of syllables."""
    generator = np.random.default_rng(0)
    time_s = np.arange(6 * 16000) / 16000
    syllables = 0.3 + 0.7 * np.abs(np.sin(4 * np.pi * time_s))
    level = np.where((time_s > 2) & (time_s < 4), 0.01, 0.18)
    write_wav(tmp_path / "speech.wav", (level * syllables * generator.standard_normal(len(time_s))).astype(np.float32))
    return tmp_path / "speech.wav"


def talkative(make_pipeline: Callable[..., PortraitPipeline]) -> PortraitPipeline:
    """A portrait whose audio code hangs on the sound, as after a training."""
    pipeline = make_pipeline("val", audio_code=AudioCodeConfig())
    pipeline.eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in pipeline.portrait_model.audio_code.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return pipeline


def motion(pipeline: PortraitPipeline, frames: slice) -> float:
    """Mean change of the audio code, which alone moves the mouth, from one frame to the next."""
    model = pipeline.portrait_model
    codes = model.encode_audio(model.track.at_frames(torch.arange(frames.start, frames.stop)))
    return float(codes.detach().diff(dim=0).norm(dim=1).mean())


def test_the_mouth_moves_less_in_silence_than_a_fifth_of_what_it_does_in_speech(make_pipeline, speech: Path) -> None:
    pipeline = talkative(make_pipeline)
    pipeline.set_audio(speech, silence="off")
    restless = motion(pipeline, PAUSE) / motion(pipeline, SPEECH)
    pipeline.set_audio(speech)
    assert restless > 0.2
    assert motion(pipeline, PAUSE) <= 0.2 * motion(pipeline, SPEECH)


def test_speech_is_left_as_it_is_and_pauses_show_the_rest(make_pipeline, speech: Path) -> None:
    pipeline = talkative(make_pipeline)
    model = pipeline.portrait_model
    free = pipeline.set_audio(speech, silence="off")
    plain = model.encode_audio(free.at_frames(torch.arange(150)))
    codes = model.encode_audio(pipeline.set_audio(speech).at_frames(torch.arange(150)))
    assert torch.equal(codes[SPEECH], plain[SPEECH])
    code = model.audio_code
    assert code.encoder is not None
    rest = code.encoder((code.rest_audio[None] - code.mean[:, None]) * code.scale[:, None])
    torch.testing.assert_close(codes[PAUSE], rest.expand_as(codes[PAUSE]))


@pytest.mark.parametrize("method", ["er-nerf"])
def test_pictures_of_a_pause_differ_less_than_a_fifth_of_those_of_speech(make_pipeline, speech: Path) -> None:
    pipeline = talkative(make_pipeline)
    for parameter in pipeline.portrait_model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
    track = pipeline.set_audio(speech, "still")
    camera = pipeline.datamanager.train_dataset.cameras[0:1]

    def picture(frame: int) -> torch.Tensor:
        # The eyes would blink in both.
        camera.times = torch.tensor([[frame / track.num_frames]])
        track.blink[:] = 0
        return pipeline.model.get_outputs_for_camera(camera)["head_rgb"]

    pause = (picture(70) - picture(74)).abs().mean()
    talking = (picture(20) - picture(24)).abs().mean()
    assert float(pause) <= 0.2 * float(talking)


def test_a_checkpoint_from_before_learns_the_rest_from_its_dataset(make_pipeline, speech: Path) -> None:
    trained = talkative(make_pipeline)
    state = {name: value for name, value in trained.state_dict().items() if "rest_" not in name}
    assert len(state) < len(trained.state_dict())
    pipeline = make_pipeline("inference", audio_code=AudioCodeConfig())
    pipeline.load_pipeline(state, 1)
    assert not pipeline.portrait_model.audio_code.knows_rest
    pipeline.set_audio(speech)
    learned = pipeline.portrait_model.audio_code.rest_audio
    assert torch.equal(learned, trained.portrait_model.audio_code.rest_audio)


def test_the_rest_travels_in_the_checkpoint(make_pipeline) -> None:
    trained = talkative(make_pipeline)
    pipeline = make_pipeline("inference", audio_code=AudioCodeConfig())
    pipeline.load_pipeline(trained.state_dict(), 1)
    assert pipeline.portrait_model.audio_code.knows_rest
    del (state := trained.state_dict())["_model.audio_code.mean"]
    with pytest.raises(ValueError, match=r"1 parameters are missing or left over, the first is .*mean"):
        pipeline.load_pipeline(state, 1)
