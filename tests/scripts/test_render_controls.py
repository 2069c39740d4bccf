"""Laws of the controls of `ns-talking render`: eyes, head, background, transparency, pasting back."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from painted_pipeline import CLIP_FRAMES, HEIGHT, WIDTH
from portraits import write_tiny_portrait

from ns_talking.audio.io import read_audio
from ns_talking.driving.blinks import natural_blinks
from ns_talking.provenance.marking import COMPOSITE
from ns_talking.provenance.verification import examine
from ns_talking.utils.video import VideoWriter, read_frames


def write_video(path: Path, frames: list[np.ndarray], fps: float = 25.0) -> Path:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width, height, fps, None, crf=1) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def places(pipeline) -> list[float]:
    return [float(camera.camera_to_worlds[0, 0, 3]) for camera in pipeline.model.cameras]


def test_eyes_blink_as_they_are_told(render, pipeline, speech, tmp_path: Path) -> None:
    pipeline.clip_track.blink[5] = 1
    render()
    assert pipeline.model.track.blink[[5, 34, 45]].tolist() == [1, 1, 1]
    assert pipeline.model.track.blink.sum() == 3
    render(blink="off")
    assert (pipeline.model.track.blink == 0).all()
    np.save(tmp_path / "lids.npy", np.linspace(0, 1, 50, dtype=np.float32))
    render(blink=str(tmp_path / "lids.npy"), eyes=0.3)
    np.testing.assert_allclose(pipeline.model.track.blink, np.maximum(np.linspace(0, 1, 50), 0.3), atol=1e-6)
    render(blink="natural")
    np.testing.assert_array_equal(pipeline.model.track.blink, natural_blinks(50, 25.0))


def test_the_head_moves_as_a_file_says_and_smoothly_where_asked(render, pipeline, speech, tmp_path: Path) -> None:
    poses = np.tile(np.eye(4), (30, 1, 1))
    poses[:, 0, 3] = np.arange(30) % 2
    np.save(tmp_path / "poses.npy", poses)
    render(pose=str(tmp_path / "poses.npy"), end=0.4)
    assert places(pipeline) == [0, 1] * 5
    pipeline.model.cameras.clear()
    render(pose=str(tmp_path / "poses.npy"), smooth=0.2, end=0.4)
    assert np.ptp(places(pipeline)) < 0.1


def test_another_dataset_lends_how_its_head_moves(render, pipeline, speech, tmp_path: Path) -> None:
    folder = write_tiny_portrait(tmp_path / "other", num_frames=12, size=32)
    render(pose=str(folder), end=0.4)
    theirs = np.load(folder / "head_poses.npy")
    ours = np.stack([camera.camera_to_worlds[0].numpy() for camera in pipeline.model.cameras])
    turns = np.linalg.inv(theirs)[1:10, :3, :3] @ np.linalg.inv(theirs)[:9, :3, :3].transpose(0, 2, 1)
    found = ours[1:10, :, :3].transpose(0, 2, 1) @ ours[:9, :, :3]
    np.testing.assert_allclose(found, turns, atol=1e-5)
    assert np.abs(ours[:, 0, 3] - CLIP_FRAMES / 2).max() < 2


def test_a_video_plays_behind_the_person_again_and_again(render, pipeline, speech, tmp_path: Path) -> None:
    levels = [20, 90, 160, 230]
    clip = write_video(tmp_path / "wall.mp4", [np.full((60, 80, 3), level, np.uint8) for level in levels])
    video = render(background=str(clip), end=0.4, crf=1)
    blue = [frame[..., 2].mean() for frame in read_frames(video)]
    np.testing.assert_allclose(blue, [levels[k % 4] for k in range(10)], atol=6)
    part = render(background=str(clip), start=0.08, end=0.2, crf=1, output=tmp_path / "part.mp4")
    np.testing.assert_allclose([frame[..., 2].mean() for frame in read_frames(part)], [160, 230, 20], atol=6)


def expected_alpha() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.where(rows < HEIGHT // 2, columns / WIDTH, 1.0)


def test_png_files_hold_straight_colours_and_alpha(render, pipeline, speech, tmp_path: Path) -> None:
    folder = render(background="transparent", output=tmp_path / "frames", end=0.2)
    files = sorted(path.name for path in folder.iterdir())
    assert files == [f"{index:06d}.png" for index in range(5)]
    image = cv2.imread(str(folder / files[3]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(image[..., 3] / 255, expected_alpha(), atol=0.003)
    np.testing.assert_allclose(image[5, 20, :3], (0, 128, 255), atol=1)
    np.testing.assert_allclose(image[20, 20, :3], (64, 64, 64), atol=1)


@pytest.mark.parametrize(("suffix", "codec"), [(".mov", "prores"), (".webm", "libvpx-vp9")])
def test_transparent_videos_keep_alpha_and_sound(render, pipeline, speech, tmp_path: Path, suffix, codec) -> None:
    path = render(background="transparent", output=tmp_path / f"out{suffix}", end=1.6, crf=4)
    # FFmpeg's own VP9 decoder drops alpha; libvpx's keeps it.
    decoder = av.CodecContext.create(codec, "r")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder.extradata = stream.codec_context.extradata
        frames = [frame for packet in container.demux(stream) if packet.size for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    assert len(frames) == 40
    assert "a" in frames[3].format.name
    alpha = frames[3].reformat(format="rgba").to_ndarray()[:HEIGHT, :WIDTH, 3]
    np.testing.assert_allclose(alpha / 255, expected_alpha(), atol=0.06)
    heard = np.flatnonzero(np.abs(read_audio(path)) > 0.3) / 16000
    np.testing.assert_allclose((heard.min(), heard.max()), (1.2, 1.3), atol=0.02)


@pytest.fixture
def original(tmp_path: Path, pipeline) -> Path:
    """A video of 160 x 120 px in whose middle the dataset's frames were cut out."""
    rows, columns = np.mgrid[:120, :160]
    frames = [np.stack([columns, rows, np.full_like(rows, 40 + 8 * k)], -1).astype(np.uint8) for k in range(25)]
    write_video(tmp_path / "talk.mp4", frames)
    folder = tmp_path / "dataset"
    (folder / "work").mkdir(parents=True)
    facts = {"num_frames": CLIP_FRAMES, "fps": 25.0, "start_s": 0.08, "source_size": [160, 120]}
    (folder / "work" / "clip.json").write_text(json.dumps(facts | {"crop": [40.0, 30.0, 120.0, 90.0]}))
    pipeline.model.portrait = type("Portrait", (), {"folder": folder})()
    return tmp_path / "talk.mp4"


def test_the_rendered_square_returns_into_the_frame_that_lent_its_pose(render, pipeline, speech, original) -> None:
    video = render(paste_back=original, crf=1)
    assert examine(video).source_types == (COMPOSITE,)
    frames = list(read_frames(video))
    assert len(frames) == 50 and frames[0].shape == (120, 160, 3)
    sources = [*range(20), *range(19, -1, -1), *range(10)]
    outside = [frame[5:25, :, 2].mean() for frame in frames]
    np.testing.assert_allclose(outside, [40 + 8 * (k + 2) for k in sources], atol=4)
    # Red is the place of the camera: the rendered frame stands in the middle, unmixed.
    inside = [frame[45:75, 60:100, 0].mean() for frame in frames]
    np.testing.assert_allclose(inside, [255 * k / CLIP_FRAMES for k in sources], atol=6)


def test_the_pasted_square_has_no_edge(render, pipeline, speech, original) -> None:
    frame = next(read_frames(render(paste_back=original, end=0.1, crf=1, mark=False))).astype(float)
    behind = np.arange(160.0)
    row = frame[60, :, 0]
    np.testing.assert_allclose(row[:38], behind[:38], atol=6)
    assert np.abs(np.diff(row[36:60])).max() < 30
    assert row[60] < 6


def test_another_video_than_the_processed_one_is_refused(render, pipeline, speech, original, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3)
    with pytest.raises(ValueError, match=r"has 64 x 64 px, the dataset was made from a video of 160 x 120 px"):
        render(paste_back=other)
    short = write_video(tmp_path / "short.mp4", [np.zeros((120, 160, 3), np.uint8)] * 8)
    with pytest.raises(ValueError, match=r"ends before frame 6 of the dataset, which has 20"):
        render(paste_back=short)
    (tmp_path / "dataset" / "work" / "clip.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"says where in the video the frames were cut out"):
        render(paste_back=original)


def test_features_of_another_tool_are_handed_over(render, pipeline, speech, tmp_path: Path) -> None:
    render(features=tmp_path / "aud_ds.npy", end=0.1)
    assert pipeline.handed_over == tmp_path / "aud_ds.npy"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"eyes": 1.5}, ValueError, r"--eyes 1.5 is out of range"),
        ({"blink": "often"}, FileNotFoundError, r"--blink often is neither track, off nor natural"),
        ({"pose": "nodding"}, FileNotFoundError, r"--pose nodding is neither track nor still"),
        ({"smooth": -1.0}, ValueError, "0 or more"),
        ({"background": "transparent"}, ValueError, r"'out.mp4' cannot be transparent. Name the output .mov"),
        ({"output": Path("out.mov")}, ValueError, "does not end in .mp4"),
        ({"paste_back": Path("talk.mp4"), "pose": "still"}, ValueError, "goes with --pose track"),
        ({"paste_back": Path("talk.mp4"), "background": "white"}, ValueError, "the clip's own background"),
        (
            {"background": "transparent", "output": Path("frames"), "contact_sheet": Path("sheet.png")},
            ValueError,
            "--output is a folder of PNG files",
        ),
    ],
)
def test_impossible_controls_are_refused_before_anything_is_loaded(
    render, speech, monkeypatch, tmp_path: Path, options, error, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        render(**options)
