"""`ns-talking camera-path`: the camera path with which Nerfstudio's own `ns-render` shows a portrait speaking."""

from __future__ import annotations

import json
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ns_talking.audio.io import read_audio
from ns_talking.driving.camera_path import Speech, camera_path
from ns_talking.driving.track import Pose, Silence
from ns_talking.scripts.render import check_span
from ns_talking.utils.backgrounds import read_background
from ns_talking.utils.files import write_text
from ns_talking.utils.progress import CONSOLE


@dataclass
class CameraPath:
    """Write a camera path for `ns-render camera-path`, which then renders a portrait speaking any audio.

    The video equals that of `ns-talking render`. The path is in Nerfstudio's own format, so the viewer's Render tab
    loads it too, to be changed there; its key `audio` names the sound.
    """

    load_config: Path
    """config.yml that `ns-train` wrote, or its folder."""
    audio: Path
    """Sound or video file with the speech."""
    output: Path
    """The camera path to write, a json file."""
    pose: Pose = "track"
    """`track` moves the head as in the clip, `still` holds it; the eyes blink either way."""
    silence: Silence = "rest"
    """While nobody speaks: `rest` eases the mouth to how the speaker holds it in the clip's own pauses, `off` lets the
    sound move it."""
    background: str | None = None
    """Image file, or colour such as white, '#204080' or 32,64,128; left out, the clip's own background."""
    start: float = 0.0
    """Where in the audio the video starts, in seconds."""
    end: float | None = None
    """Where in the audio the video ends, in seconds; left out, at the end of the audio."""
    size: int | None = None
    """Longer side of the video in pixels; left out, the size the portrait was trained at."""
    start_frame: int | None = None
    """Frame of the clip that lends pose and blink to the start of the audio, counted from 0; left out, the first, and
    for `still` the one nearest to the mean pose."""
    data: Path | None = None
    """The dataset that the portrait was trained on, where it was moved."""

    def main(self) -> None:
        """Write the path, and say how to render it."""
        from ns_talking.pipelines.frames import clip_lens, frames_between
        from ns_talking.scripts.loading import find_config, load_portrait

        config = find_config(self.load_config)
        read_audio(self.audio, duration_s=0.1)
        if self.background is not None:
            read_background(self.background)
        check_span(self.start, self.end)
        pipeline = load_portrait(self.load_config, self.data)
        with tempfile.TemporaryDirectory(prefix="ns-talking-", ignore_cleanup_errors=True) as folder:
            features = Path(folder) / "features.npy"
            track = pipeline.set_audio(self.audio, self.pose, output=features, start_frame=self.start_frame)
            frames = frames_between(track, self.start, self.end)
        lens = clip_lens(pipeline, self.size)
        speech = Speech(self.audio, self.pose, self.start_frame, self.background, self.silence)
        content = camera_path(track, frames, lens.width, lens.height, lens.focal_px, speech)
        write_text(self.output, json.dumps(content))
        video = self.output.with_suffix(".mp4")
        command = ["ns-render", "camera-path", "--load-config", config, "--camera-path-filename", self.output]
        CONSOLE.print(f"Wrote {self.output} ({len(frames)} cameras, {len(frames) / track.fps:.1f} s)")
        CONSOLE.print(f"Render it: {shlex.join(map(str, [*command, '--output-path', video]))}", soft_wrap=True)
