"""Laws of reading and writing video."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ns_talking.audio.io import read_audio, write_wav
from ns_talking.utils.video import MADE_BY, VideoWriter, read_frames, timed_frames, video_info


def flat(value: int | tuple[int, int, int], height: int = 32, width: int = 48) -> np.ndarray:
    frame = np.empty((height, width, 3), np.uint8)
    frame[:] = value
    return frame


def levels(path: Path, **options: float) -> list[int]:
    """Grey levels, rounded to those of `write_timed`, since the conversion to YUV may cost one."""
    return [4 * round(float(frame.mean()) / 4) for frame in read_frames(path, **options)]


def write_timed(path: Path, times_s: Sequence[float], rotation: int = 0, frame: np.ndarray | None = None) -> Path:
    """A video whose k-th picture, of grey level 4 k + 20, is shown at times_s[k]."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1", "bf": "0"})
        height, width = (32, 48) if frame is None else frame.shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90000)
        if rotation:
            stream.set_display_rotation(rotation)
        for index, time_s in enumerate(times_s):
            picture = av.VideoFrame.from_ndarray(flat(4 * index + 20) if frame is None else frame, "rgb24")
            picture.pts, picture.time_base = round(time_s * 90000), Fraction(1, 90000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def test_what_is_written_is_read_frame_by_frame(tmp_path: Path) -> None:
    colours = [
        (200, 40, 40),
        (40, 200, 40),
        (40, 40, 200),
        (128, 128, 128),
        (230, 200, 180),
        (0, 0, 0),
        (255, 255, 255),
    ]
    with VideoWriter(tmp_path / "a.mp4", 48, 32, 25.0, None) as writer:
        for colour in colours:
            writer.write(flat(colour))
    frames = list(read_frames(tmp_path / "a.mp4"))
    assert len(frames) == len(colours)
    for frame, colour in zip(frames, colours, strict=True):
        np.testing.assert_allclose(frame.mean((0, 1)), colour, atol=3)


@pytest.mark.parametrize(
    ("matrix", "red_weight", "blue_weight"),
    [(1, 0.2126, 0.0722), (5, 0.299, 0.114), (6, 0.299, 0.114), (7, 0.212, 0.087), (9, 0.2627, 0.0593)],
)
def test_colours_are_read_by_the_matrix_that_the_video_states(
    tmp_path: Path, matrix: int, red_weight: float, blue_weight: float
) -> None:
    red, green, blue = colour = np.array([200.0, 60.0, 40.0])
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    planes = np.full((48, 48), 16 + luma * 219 / 255)
    planes[32:40] = 128 + (blue - luma) / (2 * (1 - blue_weight)) * 224 / 255
    planes[40:] = 128 + (red - luma) / (2 * (1 - red_weight)) * 224 / 255
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.colorspace = matrix
        picture = av.VideoFrame.from_ndarray(planes.round().astype(np.uint8), "yuv420p")
        container.mux([*stream.encode(picture), *stream.encode(None)])
    (frame,) = read_frames(tmp_path / "a.mp4")
    np.testing.assert_allclose(frame.mean((0, 1)), colour, atol=3)


@pytest.mark.parametrize("sound_s", [0.1, 1.98, 2.0, 2.02, 5.0])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_sound_lasts_as_long_as_the_pictures_and_is_in_step(tmp_path: Path, sound_s: float, rate: int) -> None:
    sound = np.zeros(round(sound_s * rate), np.float32)
    sound[round(0.05 * rate) : round(0.06 * rate)] = 0.8
    write_wav(tmp_path / "a.wav", sound, rate)
    with VideoWriter(tmp_path / "a.mp4", 32, 32, 25.0, tmp_path / "a.wav") as writer:
        for _ in range(50):
            writer.write(flat(9, 32, 32))
    with av.open(str(tmp_path / "a.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert float(video.duration * video.time_base) == pytest.approx(2.0, abs=1e-3)
        assert float(audio.duration * audio.time_base) == pytest.approx(2.0, abs=1e-3)
        assert video.start_time == audio.start_time == 0
    samples = read_audio(tmp_path / "a.mp4")
    assert abs(len(samples) / 16000 - 2.0) < 1 / 25
    heard = np.flatnonzero(np.abs(samples) > 0.4) / 16000
    assert heard.min() == pytest.approx(0.05, abs=0.002)
    assert heard.max() == pytest.approx(0.06, abs=0.002)


def test_samples_and_a_later_start_of_the_sound(tmp_path: Path) -> None:
    sound = np.zeros(32000, np.float32)
    sound[16000:16100] = 0.8
    write_wav(tmp_path / "a.wav", sound)
    for name, audio, start_s in (("b", sound[8000:], None), ("c", tmp_path / "a.wav", 0.5)):
        with VideoWriter(tmp_path / f"{name}.mp4", 16, 16, 25.0, audio, audio_start_s=start_s) as writer:
            for _ in range(25):
                writer.write(flat(9, 16, 16))
        samples = read_audio(tmp_path / f"{name}.mp4")
        assert np.flatnonzero(np.abs(samples) > 0.4).min() / 16000 == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize(("height", "width"), [(31, 47), (32, 47), (1, 1), (33, 32)])
def test_odd_sizes_gain_a_row_or_column(tmp_path: Path, height: int, width: int) -> None:
    with VideoWriter(tmp_path / "a.mp4", width, height, 25.0, None) as writer:
        writer.write(flat(88, height, width))
    info = video_info(tmp_path / "a.mp4")
    assert (info.height, info.width) == (height + height % 2, width + width % 2)
    assert levels(tmp_path / "a.mp4") == [88]


@pytest.mark.parametrize("fps", [25.0, 29.97, 50.0])
def test_rate_and_number_of_frames_are_kept(tmp_path: Path, fps: float) -> None:
    with VideoWriter(tmp_path / "a.mp4", 16, 16, fps, np.zeros(100, np.float32)) as writer:
        for _ in range(60):
            writer.write(flat(9, 16, 16))
    info = video_info(tmp_path / "a.mp4")
    assert info.num_frames == 60
    assert info.fps == pytest.approx(fps, rel=1e-4)
    assert info.has_sound


def test_metadata_says_that_it_is_synthetic_and_players_can_start_at_once(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25.0, None, title="Anna") as writer:
        writer.write(flat(9, 16, 16))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.metadata["title"] == "Anna"
        assert container.metadata["comment"] == MADE_BY
    content = (tmp_path / "a.mp4").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interruption_leaves_no_file_and_keeps_an_older_one(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a.mp4").write_text("older")
    write_wav(tmp_path / "a.wav", np.zeros(16000, np.float32))

    def interrupted() -> None:
        with VideoWriter(tmp_path / "a.mp4", 16, 16, 25.0, tmp_path / "a.wav") as writer:
            writer.write(flat(9, 16, 16))
            raise error("stop")

    with pytest.raises(error, match="stop"):
        interrupted()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4", "a.wav"]
    assert (tmp_path / "a.mp4").read_text() == "older"


def test_the_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25.0, None) as writer:
        writer.write(flat(9, 16, 16))
        assert not (tmp_path / "a.mp4").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_nothing_to_write_wrong_names_and_wrong_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not end in .mp4"):
        VideoWriter(tmp_path / "a.avi", 16, 16, 25.0, None)
    with pytest.raises(ValueError, match="crf between 0 and 51"):
        VideoWriter(tmp_path / "a.mp4", 16, 16, 25.0, None, crf=52)
    with pytest.raises(ValueError, match="No frame was written"), VideoWriter(tmp_path / "a.mp4", 16, 16, 25.0, None):
        pass
    with (
        pytest.raises(ValueError, match="Frame 0 is uint8"),
        VideoWriter(tmp_path / "a.mp4", 16, 16, 25.0, None) as writer,
    ):
        writer.write(flat(9, 16, 18))
    with (
        pytest.raises(FileNotFoundError, match="does not exist"),
        VideoWriter(tmp_path / "a.mp4", 16, 16, 25.0, tmp_path / "no.wav"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_long_video_is_written_at_constant_memory(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(16000 * 40, np.float32))
    tracemalloc.start()
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25.0, tmp_path / "a.wav") as writer:
        for _ in range(25 * 40):
            writer.write(flat(9, 16, 16))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


@pytest.mark.parametrize("source_fps", [24.0, 25.0, 30.0, 60.0])
def test_other_rates_are_resampled_by_time_without_drift(tmp_path: Path, source_fps: float) -> None:
    times_s = np.arange(round(2 * source_fps)) / source_fps
    path = write_timed(tmp_path / "a.mp4", list(times_s[:56]))
    found = [time_s for time_s, _ in timed_frames(path)]
    assert abs(len(found) - len(times_s[:56]) / source_fps * 25) <= 1
    assert np.abs(np.array(found) - np.arange(len(found)) / 25).max() <= 0.5 / source_fps + 1e-3


def test_variable_rate_repeats_frames_instead_of_drifting(tmp_path: Path) -> None:
    path = write_timed(tmp_path / "a.mkv", [0.0, 0.04, 0.2, 0.24, 0.25, 0.28])
    assert levels(path)[:8] == [20, 24, 24, 24, 28, 28, 32, 40]


def test_first_frame_is_the_start_and_start_and_length_can_be_chosen(tmp_path: Path) -> None:
    path = write_timed(tmp_path / "a.mkv", list(0.08 + np.arange(20) / 25))
    assert video_info(path).start_s == pytest.approx(0.08, abs=1e-3)
    everything = [4 * k + 20 for k in range(20)]
    assert levels(path) == everything
    assert levels(path, start_s=0.2, max_seconds=0.2) == everything[3:8]
    assert levels(path, max_seconds=0.12) == everything[:3]


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_pictures_of_a_turned_phone_stand_upright(tmp_path: Path, rotation: int) -> None:
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :24] = 250
    path = write_timed(tmp_path / "a.mp4", [0.0, 0.04], rotation, stored)
    expected = np.rot90(stored, rotation // 90)
    info = video_info(path)
    frame = next(iter(read_frames(path)))
    assert (info.height, info.width) == expected.shape[:2] == frame.shape[:2]
    assert info.rotation == rotation % 360
    assert np.abs(frame.astype(int) - expected).mean() < 5


def test_files_without_pictures_are_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(1600, np.float32))
    with pytest.raises(ValueError, match="has no video track"):
        video_info(tmp_path / "a.wav")
    with pytest.raises(ValueError, match="has no video track"):
        next(read_frames(tmp_path / "a.wav"))


def test_a_cut_off_file_gives_the_frames_that_are_whole_and_says_so(tmp_path: Path) -> None:
    path = write_timed(tmp_path / "a.mkv", list(np.arange(50) / 25))
    (tmp_path / "b.mkv").write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    frames = levels(tmp_path / "b.mkv")
    assert 0 < len(frames) < 50
    (tmp_path / "c.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(500))
    with pytest.raises(ValueError, match="cannot be read as sound or video"):
        video_info(tmp_path / "c.mp4")


def test_real_clip_is_read_as_it_is(shared: Path) -> None:
    info = video_info(shared / "clips/broadcast_71s.mp4")
    assert (info.width, info.height, info.num_frames, info.fps, info.rotation) == (512, 512, 1779, 25.0, 0)
    times_s = [time_s for time_s, _ in timed_frames(shared / "clips/broadcast_71s.mp4", max_seconds=1.0)]
    np.testing.assert_allclose(times_s, np.arange(25) / 25, atol=1e-4)
