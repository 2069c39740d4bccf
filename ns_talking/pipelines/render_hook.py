"""Sound for Nerfstudio's `ns-render`, which has no option for it and loads no plugin but the portrait's pipeline.

The command looks up some of its functions by name when it needs them, after the pipeline was made. `install` puts
functions around them: they take the sound from the camera path's key `audio`, from the environment variable
NS_TALKING_AUDIO or from the dataset's option `--audio`, give every camera its instant of it, and write the video with
its sound and its mark by PyAV, so that no ffmpeg has to be installed. All else is Nerfstudio's.

Remove when: Nerfstudio lets a plugin add to its render command (https://github.com/nerfstudio-project/nerfstudio/issues/2811).
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras

from ns_talking.driving.camera_path import Speech, check_camera_path
from ns_talking.pipelines.origin import portrait_origin
from ns_talking.provenance.marking import Mark, make_mark
from ns_talking.provenance.unmarked import NO_MARK, no_mark_wanted, note_unmarked
from ns_talking.utils.backgrounds import covering, read_background
from ns_talking.utils.media import file_start_s, open_media
from ns_talking.utils.progress import CONSOLE
from ns_talking.utils.video import VideoWriter

if TYPE_CHECKING:
    from ns_talking.pipelines.portrait import PortraitPipeline

VARIABLE = "NS_TALKING_AUDIO"
"""Environment variable that names the sound for any `ns-render` command."""
_MODULE = "nerfstudio.scripts.render"
_SPEECH = "ns_talking_speech"
_START = "ns_talking_start"
_INSTALLED = "_ns_talking_installed"


def install() -> None:
    """Put sound into `ns-render` where that is the running command; else do nothing."""
    for module in (sys.modules.get(_MODULE), sys.modules["__main__"]):
        if module is not None and (module.__name__ == _MODULE or _is_script(module)):
            _install_in(module)


def _is_script(module: ModuleType) -> bool:
    """Whether the module is what `python -m nerfstudio.scripts.render` runs."""
    return getattr(getattr(module, "__spec__", None), "name", None) == _MODULE


def _install_in(module: ModuleType) -> None:
    if hasattr(module, _INSTALLED):
        return
    wrappers = {
        "get_path_from_json": reading_speech,
        "get_interpolated_camera_path": _starting_where_the_frames_do,
        "get_spiral_path": _starting_where_the_frames_do,
        "_render_trajectory_video": _with_sound,
        "_disable_datamanager_setup": _refusing_foreign_sound,
    }
    missing = [name for name in (*wrappers, "install_checks", "media") if not hasattr(module, name)]
    if missing:
        CONSOLE.print(
            f"[yellow]This version of Nerfstudio renders in another way ({_MODULE} has no {', '.join(missing)}), so "
            "ns-render will write no sound. Use `ns-talking render --load-config CONFIG --audio SOUND --output MP4`."
            "[/yellow]"
        )
        return
    for name, wrapper in wrappers.items():
        setattr(module, name, wrapper(getattr(module, name), module))
    module.install_checks = _like(module.install_checks, check_ffmpeg_installed=lambda: None)
    setattr(module, _INSTALLED, True)


def reading_speech(original: Callable[..., Cameras], module: ModuleType | None = None) -> Callable[..., Cameras]:
    """Let Nerfstudio's reader of camera paths refuse what is none, and keep what the path says about the portrait."""
    del module

    @functools.wraps(original)
    def read(camera_path: dict[str, Any]) -> Cameras:  # Any: JSON.
        check_camera_path(camera_path)
        speech = Speech.of(camera_path)
        cameras = original(camera_path)
        setattr(cameras, _SPEECH, speech)
        return cameras

    return read


def _starting_where_the_frames_do(original: Callable[..., Cameras], module: ModuleType) -> Callable[..., Cameras]:
    """Remember when the frames were filmed that a path is made of, and drop what the path says about time.

    Nerfstudio drops the times of interpolated cameras and stretches those of a spiral over the whole clip, at which
    speed no one speaks.
    """
    del module

    @functools.wraps(original)
    def make(*arguments: Any, **options: Any) -> Cameras:  # Any: passed on as they are.
        cameras = original(*arguments, **options)
        source = arguments[0] if arguments else options.get("cameras", options.get("camera"))
        times = getattr(source, "times", None)
        cameras.times = None
        setattr(cameras, _START, 0.0 if times is None else float(times.flatten()[0]))
        return cameras

    return make


def _refusing_foreign_sound(
    original: Callable[..., AbstractContextManager], module: ModuleType
) -> Callable[..., AbstractContextManager]:
    """`ns-render dataset` renders the clip's frames; only it calls this function."""
    del module

    @functools.wraps(original)
    def disable(*arguments: Any, **options: Any) -> AbstractContextManager:  # Any: passed on as they are.
        if _asked_by_environment() is not None:
            raise ValueError(
                f"{VARIABLE} is set, but `ns-render dataset` renders the frames of the clip, which have their own "
                "sound. Leave it out, or render a video: ns-talking camera-path, then ns-render camera-path."
            )
        return original(*arguments, **options)

    return disable


def _with_sound(original: Callable[..., None], module: ModuleType) -> Callable[..., None]:
    @functools.wraps(original)
    def render(*arguments: Any, **options: Any) -> None:  # Any: passed on as they are.
        from ns_talking.pipelines.portrait import PortraitPipeline

        call = inspect.signature(original).bind(*arguments, **options)
        call.apply_defaults()
        pipeline, cameras = call.arguments["pipeline"], call.arguments["cameras"]
        if not isinstance(pipeline, PortraitPipeline):
            original(*arguments, **options)
            return
        rate = Fraction(len(cameras) / call.arguments["seconds"]).limit_denominator(1001)
        media = module.media
        with tempfile.TemporaryDirectory(prefix="ns-talking-", ignore_cleanup_errors=True) as folder:
            sound = _drive(pipeline, cameras, float(rate), Path(folder) / "features.npy")
            mark = None if no_mark_wanted() else make_mark(portrait_origin(pipeline))
            module.media = _like(media, VideoWriter=functools.partial(_Writer, sound, mark, media.to_uint8))
            try:
                original(*arguments, **options)
            finally:
                module.media = media

    return render


def _drive(
    pipeline: PortraitPipeline, cameras: Cameras, fps: float, features: Path
) -> tuple[Path, float] | tuple[None, None]:
    """Let the sound that was asked for drive the portrait, and give every camera its instant of it.

    Cameras whose times advance as a clock does keep them, wherever they start. So do those of a path without any sound
    asked for: then the portrait moves at the path's own speed, and the video is silent if that is not the clock's.

    Returns:
        File of the sound and where in it the video begins, in seconds; None and None for a silent video.
    """
    speech: Speech = getattr(cameras, _SPEECH, Speech())
    asked = speech.audio or _asked_by_environment()
    if asked is not None:
        pipeline.set_audio(asked, speech.pose, output=features, start_frame=speech.start_frame, silence=speech.silence)
    if speech.background is not None:
        image = covering(read_background(speech.background), int(cameras.width[0]), int(cameras.height[0]))
        pipeline.portrait_model.set_background(image)
    track = pipeline.portrait_model.track
    audio = pipeline.audio
    foreign = audio != pipeline.portrait_model.portrait.audio
    elapsed_s = np.arange(len(cameras)) / fps
    start_s = 0.0 if foreign else getattr(cameras, _START, 0.0) * track.duration_s
    if cameras.times is not None:
        stated_s = cameras.times.flatten().double().cpu().numpy() * track.duration_s
        if np.abs(stated_s - stated_s[0] - elapsed_s).max() <= 0.5 / track.fps:
            return (audio, _on_the_files_clock(audio, stated_s[0])) if audio is not None else (None, None)
        if not foreign:
            CONSOLE.print("The times of the camera path do not advance as a clock does, so the video has no sound.")
            return None, None
        CONSOLE.print(
            "[yellow]The times of the camera path do not advance as a clock does: the sound's own are taken.[/yellow]"
        )
    times = np.clip((start_s + elapsed_s) / track.duration_s, 0, 1)
    cameras.times = torch.from_numpy(times.astype(np.float32))[:, None].to(cameras.device)
    if start_s + len(cameras) / fps < track.duration_s - 0.5 and foreign:
        CONSOLE.print(
            f"The video shows {len(cameras) / fps:.1f} s of {audio}, which lasts {track.duration_s:.1f} s. More frames "
            "show more of it: `ns-render spiral --seconds`, `ns-render interpolate --interpolation-steps`, or a path "
            "that is as long as the sound from `ns-talking camera-path`."
        )
    return (audio, _on_the_files_clock(audio, start_s)) if audio is not None else (None, None)


def _asked_by_environment() -> Path | None:
    name = os.environ.get(VARIABLE)
    return Path(name).expanduser() if name else None


def _on_the_files_clock(audio: Path, start_s: float) -> float:
    with open_media(audio) as container:
        return file_start_s(container) + start_s


def _config_folder() -> Path | None:
    """Find the folder of the config that the running command was given."""
    words = [part for word in sys.argv for part in word.split("=", 1)]
    for option, value in zip(words, words[1:], strict=False):
        if option.replace("_", "-") == "--load-config" and Path(value).is_file():
            return Path(value).parent
    return None


def _like(module: Any, **changed: Any) -> SimpleNamespace:  # Any: modules, and whatever they hold.
    """Stand in for a module with some of its names changed."""
    return SimpleNamespace(**vars(module) | changed)


class _Writer:
    """mediapy's video writer as far as Nerfstudio uses it, with sound."""

    def __init__(
        self,
        sound: tuple[Path, float] | tuple[None, None],
        mark: Mark | None,
        to_uint8: Callable[[np.ndarray], np.ndarray],
        path: Path,
        shape: tuple[int, int],
        fps: float,
    ) -> None:
        self._to_uint8 = to_uint8
        audio, start_s = sound
        self._writer = VideoWriter(path, shape[1], shape[0], fps, audio, audio_start_s=start_s, comment="", mark=mark)
        self._path, self._marked = Path(path), mark is not None

    def __enter__(self) -> _Writer:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        answer = self._writer.__exit__(kind, error, traceback)
        if error is None and not self._marked:
            note_unmarked(self._path, _config_folder() or self._path.parent, NO_MARK)
        return answer

    def add_image(self, image: np.ndarray) -> None:
        self._writer.write(self._to_uint8(image))
