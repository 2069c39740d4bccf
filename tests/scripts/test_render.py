"""Laws of `ns-talking render`, with a small portrait that paints what drives it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
import yaml
from nerfstudio.cameras.cameras import Cameras
from painted_pipeline import HEIGHT, WIDTH

from ns_talking.audio.io import read_audio, write_wav
from ns_talking.provenance.marking import ORIGIN, SYNTHETIC
from ns_talking.provenance.unmarked import UNMARKED
from ns_talking.provenance.verification import examine
from ns_talking.scripts import loading
from ns_talking.scripts.main import main
from ns_talking.utils.backgrounds import covering, read_background
from ns_talking.utils.contact_sheet import contact_sheet
from ns_talking.utils.files import sha256
from ns_talking.utils.video import read_frames, video_info


def loud_frames(video: Path) -> list[int]:
    green = np.array([frame[..., 1].mean() for frame in read_frames(video)])
    return np.flatnonzero(green > green.max() / 2).tolist()


def heard_s(video: Path) -> tuple[float, float]:
    heard = np.flatnonzero(np.abs(read_audio(video)) > 0.3) / 16000
    return heard.min(), heard.max()


def test_video_lasts_as_long_as_the_audio_with_lips_and_sound_in_step(render, pipeline, speech) -> None:
    output = render()
    info = video_info(output)
    assert (info.width, info.height, info.num_frames, info.fps) == (WIDTH, HEIGHT, 50, 25.0)
    loud = loud_frames(output)
    assert 28 <= loud[0] <= 30
    assert 32 <= loud[-1] <= 35
    np.testing.assert_allclose(heard_s(output), (1.2, 1.3), atol=0.005)
    with av.open(str(output)) as container:
        lengths = [float(stream.duration * stream.time_base) for stream in container.streams]
    assert abs(lengths[0] - lengths[1]) < 1 / 25
    assert not pipeline.feature_file.exists()


def test_poses_run_forward_and_backward_and_still_holds_one(render, pipeline, speech) -> None:
    def places(**options: object) -> list[float]:
        pipeline.model.cameras.clear()
        render(**options)
        return [float(camera.camera_to_worlds[0, 0, 3]) for camera in pipeline.model.cameras]

    there_and_back = [*range(20), *range(19, -1, -1), *range(10)]
    assert places() == there_and_back
    assert places(start_frame=3)[:5] == [3, 4, 5, 6, 7]
    assert len(set(places(pose="still"))) == 1
    assert set(places(pose="still", start_frame=7)) == {7}


def test_a_part_equals_the_same_part_of_the_whole(render, pipeline, speech, tmp_path: Path) -> None:
    whole = list(read_frames(render(crf=0)))
    part_path = render(crf=0, start=1.0, end=1.6, output=tmp_path / "part.mp4")
    part = list(read_frames(part_path))
    assert len(part) == 15
    np.testing.assert_allclose(np.stack(part), np.stack(whole[25:40]), atol=4)
    np.testing.assert_allclose(heard_s(part_path), (0.2, 0.3), atol=0.005)


def test_speech_may_come_from_a_video_whose_streams_start_apart(render, pipeline, speech, tmp_path: Path) -> None:
    from ns_talking.utils.media import stream_samples

    blocks = np.concatenate(list(stream_samples(speech, 48000)), axis=1)
    with av.open(str(tmp_path / "talk.mkv"), "w") as container:
        video = container.add_stream("libx264", rate=25, width=16, height=16, pix_fmt="yuv420p")
        sound = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        for index in range(25):
            picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
            picture.pts = index
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.round(blocks * 32767).astype(np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = 48000, 24000
        container.mux(sound.encode(frame))
    output = render(audio=tmp_path / "talk.mkv", start=1.0)
    np.testing.assert_allclose(heard_s(output), (0.7, 0.8), atol=0.005)
    assert 15 <= loud_frames(output)[0] <= 18


def test_the_mouth_rests_in_silence_unless_it_is_told_otherwise(render, pipeline, speech) -> None:
    render(end=0.1)
    assert pipeline.silence == "rest"
    render(end=0.1, silence="off")
    assert pipeline.silence == "off"


def test_size_is_that_of_the_longer_side_with_the_same_view(render, pipeline, speech) -> None:
    info = video_info(render(size=80, end=0.1))
    assert (info.width, info.height) == (80, 60)
    camera = pipeline.model.cameras[0]
    assert float(camera.fx) == 120
    assert (float(camera.cx), float(camera.cy)) == (40, 30)


def test_background_is_a_colour_or_an_image_that_covers_the_frame(render, pipeline, speech, tmp_path: Path) -> None:
    render(background="#0000ff", end=0.1)
    assert pipeline.model.background.shape == (HEIGHT, WIDTH, 3)
    assert (pipeline.model.background == (0, 0, 255)).all()
    for text, expected in (("white", (255, 255, 255)), ("32,64,128", (32, 64, 128)), ("rgb(1,2,3)", (1, 2, 3))):
        assert read_background(text)[0, 0].tolist() == list(expected)
    import cv2

    image = np.zeros((10, 100, 3), np.uint8)
    image[:, 40:60] = (0, 0, 200)
    cv2.imwrite(str(tmp_path / "wall.png"), image)
    covered = covering(read_background(str(tmp_path / "wall.png")), 20, 20)
    assert covered.shape == (20, 20, 3)
    assert (covered[:, 2:-2] == (200, 0, 0)).all()


@pytest.mark.parametrize("text", ["nothing.png", "1,2", "300,0,0", "reddish", "1,two,3"])
def test_what_is_neither_colour_nor_image_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither an image file nor a colour"):
        read_background(text)


def test_contact_sheet_shows_frames_of_the_whole_video(render, pipeline, speech, tmp_path: Path) -> None:
    video = render(contact_sheet=tmp_path / "sheet.png")
    import cv2

    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (4 * 192, 6 * 256, 3)
    small = contact_sheet(video, 50, num_shown=3, columns=2, tile_px=40)
    assert small.shape == (60, 80, 3)
    assert (small[30:, 40:] == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"end": 0.5, "start": 0.5}, r"--start 0.5 --end 0.5 leaves nothing to render"),
        ({"start": -1.0}, "leaves nothing to render"),
        ({"start": 2.5}, r"--start 2.5 lies behind the end of the audio, which lasts 2.00 s"),
        ({"output": Path("out.avi")}, r"does not end in .mp4"),
        ({"size": 3}, "too small"),
        ({"crf": 60}, "crf between 0 and 51"),
        ({"start_frame": 20}, r"frames 0 .. 19, frame 20"),
        ({"background": "nowhere.jpg"}, "neither an image file nor a colour"),
    ],
)
def test_impossible_options_are_refused(render, pipeline, speech, options, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        render(**options)
    assert not (tmp_path / "out.mp4").exists()


def test_unusable_files_are_refused_before_anything_is_loaded(render, speech, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound " * 99)
    (tmp_path / "empty.wav").touch()
    write_wav(tmp_path / "none.wav", np.zeros(0, np.float32))
    for name, error, message in (
        ("no.wav", FileNotFoundError, "no.wav does not exist"),
        ("text.wav", ValueError, "cannot be read as sound or video"),
        ("empty.wav", ValueError, "is empty"),
        ("none.wav", ValueError, "without a single sample"),
    ):
        with pytest.raises(error, match=message):
            render(audio=tmp_path / name)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(ValueError, match=r"is a folder. Name the file as well"):
        render(output=tmp_path / "folder.mp4")
    with pytest.raises(ValueError, match="not a folder that you may write to"):
        render(output=tmp_path / "text.wav" / "out.mp4")
    (tmp_path / "same.mp4").write_bytes(speech.read_bytes())
    with pytest.raises(ValueError, match="are the same file"):
        render(audio=tmp_path / "same.mp4", output=tmp_path / "same.mp4")
    with pytest.raises(FileNotFoundError, match=r"There is no config .*Train first: ns-train er-nerf"):
        render(load_config=tmp_path / "nowhere")


def test_an_error_while_rendering_leaves_no_video(render, pipeline, speech, tmp_path: Path, monkeypatch) -> None:
    paint = pipeline.model.get_outputs_for_camera

    def interrupted(camera: Cameras) -> dict[str, torch.Tensor]:
        if len(pipeline.model.cameras) == 5:
            raise KeyboardInterrupt
        return paint(camera)

    monkeypatch.setattr(pipeline.model, "get_outputs_for_camera", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.yml", "speech.wav"]


def test_the_video_is_marked_with_the_sound_it_was_made_from(render, pipeline, speech) -> None:
    finding = examine(render())
    assert finding.status == "marked"
    assert finding.source_types == (SYNTHETIC,)
    (details,) = (part["data"] for part in finding.manifest["assertions"] if part["label"] == ORIGIN)
    assert details["sha256"]["audio"] == sha256(speech)
    assert details["method"] == "Painted"
    assert finding.manifest["title"] == "out.mp4"


def test_a_transparent_mov_is_signed_and_a_webm_keeps_its_comment(
    render, pipeline, speech, tmp_path: Path, capsys
) -> None:
    assert examine(render(background="transparent", output=tmp_path / "out.mov", end=0.2)).status == "marked"
    video = render(background="transparent", output=tmp_path / "out.webm", end=0.2)
    assert "out.webm carries its plain metadata alone" in " ".join(capsys.readouterr().out.split())
    with av.open(str(video)) as container:
        assert SYNTHETIC in {name.lower(): text for name, text in container.metadata.items()}["comment"]


def test_without_a_mark_nothing_says_synthetic_but_the_log(render, pipeline, speech, tmp_path: Path, capsys) -> None:
    video = render(mark=False)
    assert examine(video).status == "unmarked"
    assert "Saying so where you show it is up to you" in " ".join(capsys.readouterr().out.split())
    entry = json.loads((tmp_path / UNMARKED).read_text())
    assert entry["video"] == "out.mp4" and entry["sha256"] == sha256(video)


def test_a_certificate_without_a_key_is_refused_before_rendering(render, pipeline, speech, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="but no private key"):
        render(certificate=tmp_path / "mine.pem")


def test_the_command_names_the_error_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["render", "--load-config", str(tmp_path), "--audio", "a.wav", "--output", "o.mp4"]
    with pytest.raises(SystemExit) as exit_:
        main(command)
    assert exit_.value.code == 1
    assert "There is no config" in capsys.readouterr().err


def test_configs_of_other_methods_and_other_files_are_refused(tmp_path: Path) -> None:
    from nerfstudio.engine.trainer import TrainerConfig
    from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig

    path = tmp_path / "config.yml"
    path.write_text(yaml.dump(TrainerConfig(method_name="nerfacto", pipeline=VanillaPipelineConfig())))
    with pytest.raises(ValueError, match=r"method 'nerfacto', which renders no talking portraits"):
        loading.load_portrait(path)
    for content in ("just: a mapping", "- 1", ""):
        path.write_text(content)
        with pytest.raises(ValueError, match="is not a config of Nerfstudio"):
            loading.load_portrait(path)
    for content in ("a: [", "!!python/object:nowhere.Missing {}"):
        path.write_text(content)
        with pytest.raises(ValueError, match="cannot be read as a config of Nerfstudio"):
            loading.load_portrait(path)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, SimpleNamespace]:
    """What a training in tmp_path/work with relative paths leaves behind."""
    path = tmp_path / "work" / "outputs" / "anna" / "er-nerf" / "today" / "config.yml"
    (path.parent / "nerfstudio_models").mkdir(parents=True)
    (path.parent / "nerfstudio_models" / "step-000000010.ckpt").touch()
    path.touch()
    (tmp_path / "work" / "data" / "anna").mkdir(parents=True)
    recorded = Path("data/anna")
    dataparser = SimpleNamespace(data=recorded)
    return path, SimpleNamespace(
        output_dir=Path("outputs"),
        relative_model_dir=Path("nerfstudio_models"),
        pipeline=SimpleNamespace(datamanager=SimpleNamespace(data=recorded, dataparser=dataparser)),
    )


def test_relative_paths_of_a_training_are_found_from_any_folder(trained, tmp_path: Path, monkeypatch) -> None:
    path, config = trained
    monkeypatch.chdir(tmp_path)
    found = loading.relocated(config, path.relative_to(tmp_path), None)
    assert found.pipeline.datamanager.dataparser.data == tmp_path / "work" / "data" / "anna"
    assert Path("any") / found.relative_model_dir == path.parent / "nerfstudio_models"


def test_a_moved_dataset_is_named_by_data(trained, tmp_path: Path) -> None:
    path, config = trained
    (tmp_path / "work" / "data" / "anna").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"The dataset of the training, data/anna, is not there.*--data DIR"):
        loading.relocated(config, path, None)
    with pytest.raises(FileNotFoundError, match="There is no dataset"):
        loading.relocated(config, path, tmp_path / "nowhere")
    assert loading.relocated(config, path, tmp_path / "elsewhere").pipeline.datamanager.data == tmp_path / "elsewhere"


def test_a_config_without_checkpoint_is_refused(trained) -> None:
    path, config = trained
    (path.parent / "nerfstudio_models" / "step-000000010.ckpt").unlink()
    with pytest.raises(FileNotFoundError, match=r"There is no checkpoint step-\*.ckpt in"):
        loading.relocated(config, path, None)
