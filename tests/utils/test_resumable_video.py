"""Laws of a video that is written in parts."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from ns_talking.utils import resumable_video
from ns_talking.utils.alpha_video import TransparentVideoWriter
from ns_talking.utils.resumable_video import ResumableVideoWriter
from ns_talking.utils.video import VideoWriter, read_frames, video_info

SOUND = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * 0.1
NUM_FRAMES = 25


@pytest.fixture(autouse=True)
def _short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable_video, "PART_FRAMES", 10)


def frame(index: int) -> np.ndarray:
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:, index : index + 8] = 60 + 7 * index
    return picture


def writer(path: Path, content: str = "as it was") -> ResumableVideoWriter:
    return ResumableVideoWriter(
        path,
        25.0,
        lambda part: VideoWriter(part, 48, 32, 25.0, None, comment=""),
        lambda whole, kind: kind(whole, 48, 32, 25.0, SOUND),
        {"content": content},
    )


def packets(path: Path) -> list[tuple[int | None, int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.pts, packet.dts, bytes(packet)) for packet in container.demux() if packet.size]


def write(path: Path, stop: int | None = None, content: str = "as it was") -> int:
    """Write the frames that are not there yet, and give how many were; `stop` interrupts before that frame."""
    with writer(path, content) as video:
        found = video.num_frames
        for index in range(found, NUM_FRAMES):
            if index == stop:
                raise KeyboardInterrupt
            video.write(frame(index))
    return found


def test_the_video_holds_every_frame_at_its_time_and_the_sound(tmp_path: Path) -> None:
    assert write(tmp_path / "a.mp4") == 0
    info = video_info(tmp_path / "a.mp4")
    assert (info.num_frames, info.fps, info.duration_s, info.has_sound) == (NUM_FRAMES, 25.0, 1.0, True)
    for index, picture in enumerate(read_frames(tmp_path / "a.mp4")):
        off = [np.abs(picture.astype(int) - frame(other)).mean() for other in range(NUM_FRAMES)]
        assert int(np.argmin(off)) == index and off[index] < 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_an_interruption_keeps_whole_parts_and_the_result_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "whole.mp4")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.mp4", stop=17)
    printed = " ".join(capsys.readouterr().out.split())
    assert "0.4 s of" in printed and "The same command goes on from there." in printed
    assert not (tmp_path / "a.mp4").exists()
    assert write(tmp_path / "a.mp4") == 10
    assert packets(tmp_path / "a.mp4") == packets(tmp_path / "whole.mp4")
    assert not (tmp_path / ".a.mp4.unfinished").exists()


def test_an_interruption_within_the_first_part_leaves_nothing_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.mp4", stop=5)
    assert not list(tmp_path.iterdir())
    printed = " ".join(capsys.readouterr().out.split())
    assert "Nothing of" in printed and "The same command starts again" in printed


@pytest.mark.parametrize("damage", ["content", "part", "missing"])
def test_what_does_not_belong_to_the_video_is_made_again(tmp_path: Path, damage: str) -> None:
    write(tmp_path / "whole.mp4")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.mp4", stop=24)
    parts = sorted((tmp_path / ".a.mp4.unfinished").glob("*.mp4"))
    assert len(parts) == 2
    if damage == "content":
        assert write(tmp_path / "a.mp4", content="other") == 0
        return
    if damage == "part":
        content = bytearray(parts[1].read_bytes())
        content[len(content) // 2] ^= 255
        parts[1].write_bytes(content)
    else:
        parts[1].unlink()
    assert write(tmp_path / "a.mp4") == 10
    assert packets(tmp_path / "a.mp4") == packets(tmp_path / "whole.mp4")


def test_two_processes_do_not_write_one_video(tmp_path: Path) -> None:
    with writer(tmp_path / "a.mp4") as video:
        with pytest.raises(ValueError, match=r"Another process is writing .*a\.mp4"):
            write(tmp_path / "a.mp4")
        video.write(frame(0))
    assert video_info(tmp_path / "a.mp4").num_frames == 1


def see_through(index: int) -> np.ndarray:
    return np.dstack([frame(index), np.full((32, 48), 40 + 8 * index, np.uint8)])


def write_transparent(path: Path, stop: int | None = None) -> int:
    """As `write`, with RGBA."""
    video = ResumableVideoWriter(
        path,
        25.0,
        lambda part: TransparentVideoWriter(part, 48, 32, 25.0, None, comment=""),
        lambda whole, kind: kind(whole, 48, 32, 25.0, SOUND),
        {},
    )
    with video:
        found = video.num_frames
        for index in range(found, NUM_FRAMES):
            if index == stop:
                raise KeyboardInterrupt
            video.write(see_through(index))
    return found


@pytest.mark.parametrize("name", ["a.mov", "a.webm"])
def test_a_transparent_video_goes_on_too_and_keeps_its_transparency(tmp_path: Path, name: str) -> None:
    whole = tmp_path / f"whole{Path(name).suffix}"
    write_transparent(whole)
    with pytest.raises(KeyboardInterrupt):
        write_transparent(tmp_path / name, stop=17)
    assert write_transparent(tmp_path / name) == 10
    assert packets(tmp_path / name) == packets(whole)
    with av.open(str(tmp_path / name)) as container:
        assert len(container.streams.audio) == 1
        stream = container.streams.video[0]
        # FFmpeg's own VP9 decoder does not see transparency.
        decoder = av.CodecContext.create("libvpx-vp9", "r") if name.endswith("webm") else stream.codec_context
        pictures = [picture for packet in container.demux(stream) for picture in decoder.decode(packet)]
    assert [round(float(picture.time or 0) * 25) for picture in pictures] == list(range(NUM_FRAMES))
    for index, picture in enumerate(pictures):
        alpha = picture.to_ndarray(format="rgba")[..., 3]
        assert abs(float(alpha.mean()) - (40 + 8 * index)) < 2
