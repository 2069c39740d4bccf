"""The panel's widgets, and what happens when someone uses them."""

from __future__ import annotations

import inspect
import shlex
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ns_talking.viewer.downloads import path_as_json, video_as_mp4
from ns_talking.viewer.player import CLOCK, CLOCK_LABEL, command, parse_tick, plain, player
from ns_talking.viewer.sounds import browser_sound, store_upload
from ns_talking.viewer.turns import Turns

if TYPE_CHECKING:
    from ns_talking.viewer.panel import TalkingPanel

_FRAME_S = 0.04
_PATIENCE_S = 60.0
"""How long a sound or a video waits for what was asked for before it."""
_CLIP = "the clip's own"
_HEADS = {"as you turn it": "free", "as in the clip": "clip", "still": "still"}
_SHOWN = {
    "portrait": "rgb",
    "attention to sound": "audio_attention",
    "attention to blinks": "eye_attention",
    "head alone": "head_rgb",
    "torso alone": "torso_rgb",
    "depth": "depth",
}


class Controls:
    """Widgets on the page, above Nerfstudio's own.

    Args:
        panel: What they control.
    """

    def __init__(self, panel: TalkingPanel) -> None:
        self._panel = panel
        self._gui: Any = panel.viser_server.gui  # Any: Viser's interface differs from version to version.
        self._html = hasattr(self._gui, "add_html")
        self._sounds: dict[str, Path | None] = {_CLIP: None}
        self._sound = self._command = self._awaited = 0
        self._frame = -1
        self._wanted = False
        """Whether the sound is to play: as the user said last, on the page or in the player."""
        self._seek: tuple[int, float] | None = None
        self._turns = Turns(self._say)
        self._stop = threading.Event()
        viewer = panel.viewer
        viewer.control_panel._time_enabled = False
        viewer.control_panel._time.set_hidden(True)
        # A folder that comes before everything that is on the page already.
        self._folder = self._gui.add_folder("Talking portrait", order=-1.0)
        with self._folder:
            self._build()
        self._show_sound()

    def closed(self) -> float | None:
        """How far the eyes are closed, in [0, 1]; None leaves them to the clip."""
        return float(self._closed.value) if self._own_blink.value else None

    def head(self) -> str:
        """Who moves the head: free, clip or still."""
        return _HEADS.get(self._head.value, "free")

    def wants_mouth(self) -> bool:
        """Whether the mouth fills the window."""
        return bool(self._mouth.value)

    def background(self) -> tuple[int, int, int] | None:
        """Colour behind the person; None is the clip's background."""
        return tuple(self._colour.value) if self._own_background.value else None

    def _build(self) -> None:
        gui, panel = self._gui, self._panel
        self._player = self._page("")
        self._order = self._page("")
        self._slider = self._add_slider()
        self._play, self._pause = gui.add_button("Play"), gui.add_button("Pause", visible=False)
        self._play.on_click(lambda _: self._order_play(True))
        self._pause.on_click(lambda _: self._order_play(False))
        self._loop = gui.add_checkbox("Loop", False)
        self._speed = gui.add_dropdown("Speed", ("0.25", "0.5", "0.75", "1", "1.25", "1.5", "2"), initial_value="1")
        for widget in (self._loop, self._speed):
            widget.on_update(lambda _: self._tell())
        self._choice = gui.add_dropdown("Sound", (_CLIP,), initial_value=_CLIP)
        self._choice.on_update(lambda event: self._chosen() if event.client is not None else None)
        self._upload = gui.add_upload_button("Upload sound or video", mime_type="audio/*,video/*")
        self._upload.on_upload(lambda _: self._uploaded())
        self._message = self._page("")
        with gui.add_folder("Face and view"):
            self._head = gui.add_dropdown("Head", tuple(_HEADS), initial_value="as you turn it")
            self._own_blink = gui.add_checkbox("Set the eyes", False)
            self._closed = gui.add_slider("Closed", 0.0, 1.0, 0.05, 0.0)
            self._mouth = gui.add_checkbox("Mouth close-up", False)
            self._own_background = gui.add_checkbox("Plain background", False)
            self._colour = gui.add_rgb("Colour", (32, 64, 128))
            self._shown = gui.add_dropdown("Show", tuple(_SHOWN), initial_value="portrait")
            view = gui.add_button("Back to the clip's view")
        for widget in (self._head, self._own_blink, self._closed, self._mouth, self._own_background, self._colour):
            widget.on_update(lambda _: panel.rerender())
        self._shown.on_update(lambda _: self._show_output())
        view.on_click(lambda event: panel.start_view(event.client))
        with gui.add_folder("Download"):
            self._video, self._halt = gui.add_button("Render an mp4"), gui.add_button("Stop rendering", visible=False)
            self._video.on_click(lambda event: self._render(event.client))
            self._halt.on_click(lambda _: self._stop.set())
            path = gui.add_button("Camera path for ns-render")
            path.on_click(lambda event: self._export(event.client))
        self._clock = gui.add_text(CLOCK_LABEL, CLOCK)
        self._clock.on_update(lambda _: self._heard(self._clock.value))

    def _page(self, content: str) -> Any:  # Any: Viser's handle.
        return self._gui.add_html(content) if self._html else self._gui.add_markdown(content)

    def _add_slider(self, order: float | None = None) -> Any:  # Any: Viser's handle.
        end_s = max(self._panel.playback.duration_s, _FRAME_S)
        slider = self._gui.add_slider("Time (s)", 0.0, end_s, _FRAME_S, 0.0, order=order)
        slider.on_update(self._scrubbed)
        return slider

    def _say(self, text: str) -> None:
        self._message.content = plain(text, self._html)

    def _show_sound(self) -> None:
        """Put the sound that drives the portrait into the player."""
        panel = self._panel
        self._sound += 1
        # The new player rests at its start, whatever the old one did.
        self._order.content, self._seek, self._frame, self._awaited = "", None, -1, 0
        self._show_playing(False)
        order = self._slider.order
        # Viser 0.2.7 cannot change the end of a slider.
        self._slider.remove()
        with self._folder:
            self._slider = self._add_slider(order)
        audio = panel.driving.audio
        if audio is None:
            self._player.content = ""
            self._say("This clip has no sound. Upload one.")
            return
        sound = browser_sound(audio)
        self._player.content = player(
            sound.mp3, sound.peaks, sound.duration_s, self._sound, self._html, panel.playback.speed, panel.playback.loop
        )

    def _order_play(self, play: bool) -> None:
        self._show_playing(play)
        self._tell()
        if play:
            self._panel.playback.start()
            self._panel.rerender()

    def _show_playing(self, playing: bool) -> None:
        self._wanted = playing
        self._play.visible, self._pause.visible = not playing, playing

    def _tell(self) -> None:
        """Tell the browsers how to play, which their clocks then report."""
        self._command += 1
        self._awaited = self._command
        playback = self._panel.playback
        playback.speed, playback.loop = float(self._speed.value), bool(self._loop.value)
        self._order.content = command(
            self._command,
            play=self._wanted,
            seek=self._seek,
            speed=playback.speed,
            loop=playback.loop,
            html=self._html,
        )

    def _heard(self, text: str) -> None:
        """Follow the browser's clock."""
        tick, playback = parse_tick(text), self._panel.playback
        if tick is None or tick.sound != self._sound or tick.command < self._awaited:
            # The clock of another sound, or of a page that has not yet done what it was told.
            return
        if tick.playing != self._wanted:
            self._show_playing(tick.playing)
        playback.report(tick.time_s, tick.playing)
        playback.painted(tick.picture, tick.painted_s)
        frame = round(tick.time_s / _FRAME_S)
        if frame != self._frame:
            self._frame = frame
            self._slider.value = min(frame * _FRAME_S, playback.duration_s)
        if tick.playing or frame != self._panel.shown_frame:
            self._panel.rerender()

    def _scrubbed(self, event: Any) -> None:  # Any: Viser's event.
        if event.client is None:
            return
        playback = self._panel.playback
        self._frame = round(self._slider.value / _FRAME_S)
        playback.report(self._slider.value, playback.playing)
        self._seek = self._command + 1, float(self._slider.value)
        self._tell()
        self._panel.rerender()

    def _chosen(self) -> None:
        self._turns.take("Reading the sound", lambda: self._drive(self._sounds[self._choice.value]), _PATIENCE_S)

    def _uploaded(self) -> None:
        upload = self._upload.value

        def take() -> None:
            path = store_upload(upload.name, upload.content, self._panel.viewer.log_filename.parent / "audio")
            self._sounds[path.name] = path
            self._choice.options = tuple(self._sounds)
            self._choice.value = path.name
            self._drive(path)

        self._turns.take("Reading the upload", take, _PATIENCE_S)

    def _drive(self, path: Path | None) -> None:
        self._panel.choose(path)
        self._show_sound()
        self._panel.rerender()

    def _show_output(self) -> None:
        chooser = self._panel.viewer.control_panel._output_render
        if chooser.gui_handle is not None:
            chooser.gui_handle.value = _SHOWN[self._shown.value]

    def _export(self, client: Any) -> None:  # Any: Viser's handle.
        audio = self._panel.driving.audio
        name = f"{audio.stem if audio is not None else 'clip'}.json"
        still = self.head() == "still"
        _download(client, name, path_as_json(self._panel, still, self.background()))
        config = self._panel.viewer.log_filename.parent / "config.yml"
        words = ["ns-render", "camera-path", "--load-config", str(config), "--camera-path-filename", name]
        self._say(f"Render it: {shlex.join([*words, '--output-path', 'talk.mp4'])}")

    def _render(self, client: Any) -> None:  # Any: Viser's handle.
        def write() -> None:
            self._stop.clear()
            self._video.visible, self._halt.visible = False, True
            try:
                still = self.head() == "still"
                content = video_as_mp4(self._panel, still, self.closed(), self._say_progress, self._stop)
            finally:
                self._video.visible, self._halt.visible = True, False
            if content is not None:
                _download(client, "talk.mp4", content)

        threading.Thread(target=self._turns.take, args=("Rendering", write, _PATIENCE_S), daemon=True).start()

    def _say_progress(self, done: int, total: int) -> None:
        self._say(f"Rendered {done} of {total} frames.")


def _download(client: Any, name: str, content: bytes) -> None:  # Any: Viser's handle.
    """Let a page save a file. Viser from 1.0 would show a link to it first, which is easily overlooked."""
    at_once = "save_immediately" in inspect.signature(client.send_file_download).parameters
    client.send_file_download(name, content, **({"save_immediately": True} if at_once else {}))
