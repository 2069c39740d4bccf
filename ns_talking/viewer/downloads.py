"""What a page can take along: the portrait speaking as an mp4, or the camera path that renders it elsewhere."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ns_talking.driving.camera_path import Speech, camera_path
from ns_talking.driving.track import DrivingTrack, nearest_to_mean
from ns_talking.pipelines.frames import clip_lens, render_frames
from ns_talking.pipelines.origin import portrait_origin
from ns_talking.provenance.marking import make_mark
from ns_talking.utils.media import file_start_s, open_media
from ns_talking.utils.video import VideoWriter

if TYPE_CHECKING:
    from ns_talking.viewer.panel import TalkingPanel


def path_as_json(panel: TalkingPanel, still: bool, background: tuple[int, int, int] | None) -> bytes:
    """Write the camera path of the sound that the page plays.

    Args:
        panel: The page.
        still: Whether the head is held.
        background: Colour behind the person; None is the clip's.
    """
    driving = panel.driving
    track = _posed(driving.track, still)
    lens = clip_lens(panel.pipeline, None)
    colour = None if background is None else "#{:02x}{:02x}{:02x}".format(*background)
    speech = Speech(driving.audio, "still" if still else "track", None, colour)
    path = camera_path(track, range(track.num_frames), lens.width, lens.height, lens.focal_px, speech)
    return json.dumps(path).encode()


def video_as_mp4(
    panel: TalkingPanel,
    still: bool,
    closed: float | None,
    told: Callable[[int, int], None],
    stop: threading.Event,
) -> bytes | None:
    """Render the sound that the page plays, from its start to its end.

    Args:
        panel: The page; it goes on showing pictures in between.
        still: Whether the head is held.
        closed: How far the eyes are closed; None as in the clip.
        told: Is called now and then with the number of frames done and of all.
        stop: Ends the work.

    Returns:
        The mp4; None when it was stopped.
    """
    driving = panel.driving
    track = _posed(driving.track, still)
    if closed is not None:
        track = replace(track, blink=np.full_like(track.blink, closed))
    lens = clip_lens(panel.pipeline, None)
    start_s = 0.0
    if driving.audio is not None:
        with open_media(driving.audio) as container:
            start_s = file_start_s(container)
    frames = range(track.num_frames)
    with panel.lock(), panel.driven():
        mark = make_mark(portrait_origin(panel.pipeline))
    with tempfile.TemporaryDirectory(prefix="ns-talking-", ignore_cleanup_errors=True) as folder:
        output = Path(folder) / "talk.mp4"
        writer = VideoWriter(
            output, lens.width, lens.height, track.fps, driving.audio, audio_start_s=start_s, mark=mark
        )
        with writer:
            for frame in frames:
                with panel.lock(), panel.driven():
                    panel.model.track = track
                    was_training = panel.model.training
                    panel.model.eval()
                    try:
                        (image,) = render_frames(panel.pipeline, track, frames[frame : frame + 1], lens)
                    finally:
                        panel.model.train(was_training)
                writer.write(image)
                if frame % 25 == 0:
                    told(frame, len(frames))
                if stop.is_set():
                    break
        return None if stop.is_set() else output.read_bytes()


def _posed(track: DrivingTrack, still: bool) -> DrivingTrack:
    if not still:
        return track
    held = track.head_poses[nearest_to_mean(track.head_poses)]
    return replace(track, head_poses=np.broadcast_to(held, track.head_poses.shape))
