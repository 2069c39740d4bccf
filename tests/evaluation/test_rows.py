"""What holds for every row of the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ns_talking.audio.io import write_wav
from ns_talking.data.face_boxes import face_boxes
from ns_talking.evaluation import ROWS
from ns_talking.evaluation.subject import Subject, free_background, head_mask
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.utils.registry import lookup


@pytest.fixture(scope="module")
def subject(pipeline: PortraitPipeline) -> Subject:
    return Subject.held_out(pipeline, max_seconds=0.16)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_gives_an_image_for_every_frame(subject: Subject, name: str) -> None:
    images = [found["own"] for found in lookup(ROWS, name, "rows")(subject, ("own",))]
    width, height = subject.size
    assert len(images) == len(subject) == 4
    assert all(image.shape == (height, width, 3) and image.dtype == np.uint8 for image in images)


@pytest.mark.parametrize("name", ["real", "re-encoded", "mean-frame", "nearest-pose", "nearest-sound", "mean-face"])
def test_only_a_rendered_head_is_laid_over_the_real_torso(subject: Subject, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be laid over the real torso"):
        next(lookup(ROWS, name, "rows")(subject, ("own", "real")))


def test_the_model_row_is_what_the_pipeline_renders(subject: Subject, pipeline: PortraitPipeline) -> None:
    rendered = [found["own"] for found in lookup(ROWS, "model", "rows")(subject, ("own",))]
    for number, image in enumerate(rendered):
        outputs = pipeline.model.get_outputs_for_camera(subject.test.cameras[number : number + 1])
        np.testing.assert_allclose(image, (outputs["rgb"].numpy() * 255).round(), atol=1)


def test_the_own_track_is_back_after_wrong_sound(subject: Subject, pipeline: PortraitPipeline) -> None:
    before = pipeline.portrait_model.track
    images = lookup(ROWS, "shifted", "rows")(subject, ("own",))
    next(images)
    images.close()
    assert pipeline.portrait_model.track is before


def test_real_frames_are_those_of_the_dataset(subject: Subject) -> None:
    for number, image in enumerate(subject.real_images()):
        np.testing.assert_array_equal(image, subject.test.frame(number).image)


def test_the_nearest_frame_of_a_training_frame_is_itself(pipeline: PortraitPipeline) -> None:
    train = [frame.index for frame in pipeline.datamanager.train_dataset.frames][:3]
    subject = Subject(pipeline, pipeline.clip_track, np.array(train), np.array(train))
    for name in ("nearest-pose", "nearest-sound"):
        found = [image["own"] for image in lookup(ROWS, name, "rows")(subject, ("own",))]
        np.testing.assert_array_equal(found, list(subject.real_images()))


def test_mouths_are_found_in_parts_and_once_for_a_frame_that_comes_again(
    subject: Subject, pipeline: PortraitPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = np.array([13, 12, 14, 13, 15, 12])
    whole = face_boxes(subject.test.portrait, sources.tolist(), *subject.size).mouth
    monkeypatch.setattr("ns_talking.data.face_boxes._FRAMES_AT_ONCE", 3)
    np.testing.assert_array_equal(Subject(pipeline, subject.track, np.arange(6), sources).mouths(), whole)


def test_background_keeps_away_from_the_person(subject: Subject) -> None:
    frame = subject.real(0)
    free = free_background(frame)
    assert free.any() and head_mask(frame).any()
    assert not (free & (frame.parsing != 0)).any()
    assert free.sum() < (frame.parsing == 0).sum()


def test_a_driven_subject_is_compared_with_the_frames_that_lend_the_pose(
    pipeline: PortraitPipeline, tmp_path: Path
) -> None:
    write_wav(tmp_path / "voice.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32))
    track = pipeline.set_audio(tmp_path / "voice.wav", start_frame=18)
    subject = Subject.driven(pipeline, track, max_seconds=0.16)
    pipeline.set_audio(None)
    assert subject.indices.tolist() == [0, 1, 2, 3]
    # The clip has twenty frames and is played backwards after its end.
    assert subject.sources.tolist() == [18, 19, 19, 18]


def test_a_portrait_that_held_nothing_out_is_refused(
    pipeline: PortraitPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.datamanager.eval_dataset, "frames", [])
    with pytest.raises(ValueError, match="holds no frames out"):
        Subject.held_out(pipeline)
