"""The few-shot methods carry their references with them, start from a base, and listen to each person's own sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ns_talking.audio.base import AudioFeatures
from ns_talking.driving.track import DrivingTrack
from ns_talking.fields.branches import BranchRays
from ns_talking.methods.ae_nerf import AENeRFModel, AENeRFModelConfig
from ns_talking.methods.few_shot import FewShotModel
from ns_talking.methods.few_shot_presets import small
from ns_talking.modules.aggregation import AudioAwareAggregation
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.modules.audio_encoder import AudioEncoderConfig
from ns_talking.pipelines.portrait import PortraitPipeline

MakePipeline = Callable[..., PortraitPipeline]


@pytest.fixture
def method() -> str:
    """Tests below are about this one, unless they choose."""
    return "ae-nerf"


def model_of(pipeline: PortraitPipeline) -> FewShotModel:
    model = pipeline.portrait_model
    assert isinstance(model, FewShotModel)
    return model


def stir(pipeline: PortraitPipeline) -> None:
    """Give all networks random weights, as after a training."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in pipeline.portrait_model.named_parameters():
        if not name.startswith("torso"):
            torch.nn.init.normal_(parameter, std=0.2, generator=generator)


def picture(pipeline: PortraitPipeline) -> torch.Tensor:
    pipeline.eval()
    return pipeline.model.get_outputs_for_camera(pipeline.datamanager.train_dataset.cameras[3:4])["head_rgb"]


def reversed_sound(track: DrivingTrack) -> DrivingTrack:
    """Let every frame hear what belongs to another one; poses and blinks stay."""
    table = track.features
    assert isinstance(table, AudioFeatures)
    return replace(track, features=replace(table, values=np.asarray(table.values)[::-1].copy()))


def saved(pipeline: PortraitPipeline, folder: Path) -> Path:
    """Write a checkpoint as the trainer does, and name the config beside it."""
    (folder / "nerfstudio_models").mkdir(parents=True)
    torch.save({"pipeline": pipeline.state_dict()}, folder / "nerfstudio_models" / "step-000000009.ckpt")
    return folder / "config.yml"


def test_a_loaded_portrait_needs_no_picture_of_the_training_folder(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = make_pipeline("val")
    stir(trained)
    expected = picture(trained)
    assert float(expected.std()) > 0.01
    again = make_pipeline("inference")
    state = trained.state_dict()
    dataset = again.datamanager.train_dataset

    def no_picture(row: int) -> None:
        raise AssertionError(f"training frame {row} was read")

    monkeypatch.setattr(dataset, "frame", no_picture)
    again.load_pipeline(state, 9)
    torch.testing.assert_close(picture(again), expected)


def test_a_config_from_before_there_was_a_choice_compares_sounds_as_its_weights_learned_it() -> None:
    """Nerfstudio takes what a config.yml does not name from the class."""
    text = yaml.dump(AENeRFModelConfig())
    assert "  contrast: true\n" in text
    assert yaml.load(text, Loader=yaml.Loader).look_up.contrast is True
    earlier = yaml.load(text.replace("  contrast: true\n", ""), Loader=yaml.Loader)
    assert earlier.look_up.contrast is False


def test_a_config_from_before_a_field_looked_up_for_itself_lets_it_see_what_the_sound_chose() -> None:
    text = yaml.dump(small(AENeRFModelConfig()))
    assert "  soundless: true\n" in text
    earlier = yaml.load(text.replace("  soundless: true\n", ""), Loader=yaml.Loader)
    assert earlier.look_up.soundless is False


def test_a_config_from_before_fields_corrected_the_colours_of_the_pictures_lets_them_paint() -> None:
    text = yaml.dump(small(AENeRFModelConfig()))
    assert "  colours: true\n" in text
    earlier = yaml.load(text.replace("  colours: true\n", ""), Loader=yaml.Loader)
    assert earlier.look_up.colours is False


@pytest.mark.parametrize("colours", [True, False])
def test_portraits_are_drawn_with_the_colours_of_the_pictures_and_without(
    make_pipeline: MakePipeline, colours: bool
) -> None:
    pipeline = make_pipeline("val", look_up=replace(small(AENeRFModelConfig()).look_up, colours=colours))
    stir(pipeline)
    before = picture(pipeline)
    model = model_of(pipeline)
    for field in (model.coarse, model.fine):
        for network in (field.aware, field.independent):
            assert network is not None
            torch.nn.init.zeros_(network.colour[-1].weight)
            torch.nn.init.zeros_(network.colour[-1].bias)
    model.train()
    flat = picture(pipeline)
    assert bool(before.isfinite().all())
    # Without a correction, painting from nothing is grey, and what the pictures show is not.
    seen = flat[flat.sum(dim=2) > 0.3]
    assert (float(seen.std(dim=1).mean()) > 1e-2) == colours


@pytest.mark.parametrize("soundless", [True, False])
def test_the_field_that_is_not_told_the_sound_changes_with_it_where_it_looks_up_what_the_other_does(
    make_pipeline: MakePipeline, soundless: bool
) -> None:
    pipeline = make_pipeline("val", look_up=replace(small(AENeRFModelConfig()).look_up, soundless=soundless))
    stir(pipeline)
    model = model_of(pipeline)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    model.coarse.register_forward_pre_hook(lambda module, args: seen.append(args[2]))
    picture(pipeline)
    model.track = reversed_sound(model.track)
    picture(pipeline)
    aware, independent = (float((after - before).abs().max()) for before, after in zip(*seen, strict=True))
    assert aware > 1e-3
    assert independent == (0 if soundless else aware)


@pytest.mark.parametrize("alone", ["aware", "independent"])
def test_one_field_can_draw_all_rays_alone(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch, alone: str
) -> None:
    pipeline = make_pipeline("val")
    stir(pipeline)
    both = picture(pipeline)

    def one(like: torch.Tensor) -> BranchRays:
        every = torch.ones(len(like), dtype=torch.bool)
        return BranchRays(**{"aware": ~every, "independent": ~every, alone: every})

    monkeypatch.setattr(BranchRays, "all_of_both", staticmethod(one))
    drawn = picture(pipeline)
    assert float(drawn.std()) > 0.001
    assert not torch.allclose(drawn, both, atol=1e-3)


def test_a_step_looks_up_for_each_field_what_it_draws_alone(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline("val")
    model = model_of(pipeline)
    asked: list[int] = []
    model.look_up.register_forward_pre_hook(lambda module, args: asked.append(len(args[0])))
    pipeline.datamanager.phase = "head"
    rays, _ = pipeline.datamanager.next_train(0)
    model.config.overlap = 0.0
    lower = int(rays.metadata["drawn"].lower_half.sum())
    model(rays)
    assert 0 < lower < len(rays)
    assert asked == [6 * len(rays)] * 2, "6 samples, coarse and fine: each ray for its own field alone"
    model.config.overlap = 1.0
    model(rays)
    assert asked[2:] == [2 * 6 * len(rays)] * 2, "for both"


def test_what_is_drawn_is_what_the_references_show(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline("val")
    stir(pipeline)
    before = picture(pipeline)
    model = model_of(pipeline)
    model.reference_images.copy_(255 - model.reference_images)
    camera = pipeline.datamanager.train_dataset.cameras[3:4]
    assert torch.equal(model.get_outputs_for_camera(camera)["head_rgb"], before), "references are encoded once"
    model.train()
    assert not torch.allclose(picture(pipeline), before, atol=1e-3)


def test_references_keep_the_clips_voice_whoever_drives_the_portrait(make_pipeline: MakePipeline) -> None:
    model = model_of(make_pipeline("val"))
    model.eval()
    own = model._kept().codes
    model._forget()
    channels = model.reference_audio.shape[2]
    model.audio_code.voice = (torch.full((channels, 1), 2.0), torch.full((channels, 1), 5.0))
    assert torch.equal(model._kept().codes, own)
    assert model.audio_code.voice is not None


@pytest.mark.parametrize("method", ["ae-nerf-base"])
def test_a_step_listens_to_its_person_and_leaves_the_shown_one_in_command(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline("val")
    model = model_of(pipeline)
    shown, heard = model.track, []
    encode = model.encode_audio
    model.encode_audio = lambda condition: heard.append(model.track) or encode(condition)
    people = []
    for step in range(12):
        pipeline.datamanager.phase = "head"
        bundle, _ = pipeline.datamanager.next_train(step)
        people.append(bundle.metadata["drawn"].person)
        model(bundle)
        assert model.track is shown
        assert model.audio_code.voice is None
    assert set(people) == {0, 1}
    tracks = [shown, *(person.track for person in model._others)]
    assert all(track is tracks[person] for track, person in zip(heard, people, strict=True))


@pytest.mark.parametrize("reinit", [True, False])
def test_a_new_person_starts_from_the_base_with_a_torso_and_references_of_its_own(
    make_pipeline: MakePipeline, tmp_path: Path, reinit: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    base = make_pipeline("val")
    stir(base)
    with torch.no_grad():
        for buffer in (
            model_of(base).reference_images,
            model_of(base).audio_code.mean,
            base.portrait_model.torso.table,
        ):
            buffer.add_(7)
    config = saved(base, tmp_path / "base")
    adapted = model_of(make_pipeline("val", base=config, reinit_warper=reinit))
    assert "parameters of the base" in capsys.readouterr().out
    theirs = model_of(base)
    for ours, known in ((adapted.fine, theirs.fine), (adapted.look_up.aggregation, theirs.look_up.aggregation)):
        for name, value in ours.state_dict().items():
            assert torch.equal(value, known.state_dict()[name])
    assert adapted.look_up.warper is not None and theirs.look_up.warper is not None
    warpers = [warper.last.weight for warper in (adapted.look_up.warper, theirs.look_up.warper)]
    assert torch.equal(*warpers) is not reinit
    for name in ("reference_images", "torso.table", "audio_code.mean"):
        assert not torch.equal(adapted.state_dict()[name], theirs.state_dict()[name])


def test_without_a_base_it_says_what_is_lost_and_starts_from_nothing(
    make_pipeline: MakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pipeline("val")
    printed = " ".join(capsys.readouterr().out.split())
    assert "No base: the networks know no face but what 1 s of one person show" in printed
    assert "--pipeline.model.base CONFIG" in printed


def test_a_base_that_does_not_fit_is_refused_with_a_reason(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"has no checkpoint step-\*.ckpt .* ns-train ae-nerf-base --data PEOPLE"
    ):
        make_pipeline("val", base=tmp_path / "none" / "config.yml")
    base = make_pipeline("val", audio_code=AudioCodeConfig(encoder=AudioEncoderConfig(code_dim=8)))
    config = saved(base, tmp_path / "narrow")
    with pytest.raises(
        ValueError, match=r"The base does not fit: .* Both need the same options under --pipeline.model"
    ):
        make_pipeline("val", base=config)
    painted = make_pipeline("val", look_up=replace(small(AENeRFModelConfig()).look_up, colours=False))
    config = saved(painted, tmp_path / "painted")
    with pytest.raises(ValueError, match=r"does not correct the colours .* --pipeline.model.look-up.colours False, or"):
        make_pipeline("val", base=config)
    other = make_pipeline("val")
    other.portrait_model.audio_code.identity = "hubert of someone"
    config = saved(other, tmp_path / "other")
    with pytest.raises(ValueError, match="listens to the audio features 'hubert of someone', this dataset has 'mel-v1"):
        make_pipeline("val", base=config)


@pytest.mark.parametrize("method", ["ae-nerf-base"])
def test_people_with_other_audio_features_are_not_trained_together(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline("val")
    model = model_of(pipeline)
    model.audio_code.identity = "of another kind"
    with pytest.raises(ValueError, match=r"'of another kind'. People who are trained together need the same"):
        model.prepare_training(pipeline.datamanager.train_dataset)


def test_ae_nerf_has_two_fields_and_attention_dfrf_one_field_and_slots(make_pipeline: MakePipeline) -> None:
    model = make_pipeline("inference").portrait_model
    assert isinstance(model, AENeRFModel)
    assert model.fine.independent is not None
    assert isinstance(model.look_up.aggregation, AudioAwareAggregation)


@pytest.mark.parametrize("method", ["dfrf"])
def test_dfrf_blends_without_the_sound_and_draws_with_one_field(make_pipeline: MakePipeline) -> None:
    model = model_of(make_pipeline("inference"))
    assert model.fine.independent is None
    assert not isinstance(model.look_up.aggregation, AudioAwareAggregation)
    assert model.look_up.warper is not None and model.look_up.warper.sees == "feature"


def test_pictures_are_those_of_rays_in_parts(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline("val")
    stir(pipeline)
    whole = picture(pipeline)
    model_of(pipeline).config.eval_num_rays_per_chunk = 100
    torch.testing.assert_close(picture(pipeline), whole, atol=1e-5, rtol=1e-4)


def test_the_mask_loss_asks_each_field_for_its_own_region(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline("val")
    rays, batch = pipeline.datamanager.next_train(0)
    outputs = pipeline.model(rays)
    found = pipeline.portrait_model.head_losses(outputs, batch)
    assert set(found) == {"rgb", "coarse", "offset", "masks"}
    lower = batch["lower_half"]
    right = torch.stack([lower, ~lower], dim=1).float()[:, None] * outputs["mask_accumulation"]
    assert float(pipeline.portrait_model.head_losses({**outputs, "masks": right}, batch)["masks"]) == 0
    assert float(found["masks"].detach()) > 0
