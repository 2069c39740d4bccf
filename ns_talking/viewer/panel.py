"""The panel of a talking portrait in Nerfstudio's viewer: sound, scrubber, face, downloads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.viewer.viewer_elements import ViewerControl

from ns_talking.data.landmarks import scheme
from ns_talking.driving.track import nearest_to_mean
from ns_talking.utils.progress import CONSOLE
from ns_talking.viewer.playback import Playback
from ns_talking.viewer.stamps import stamp_pictures
from ns_talking.viewer.view import Closeup, mouth_closeup, render_view

if TYPE_CHECKING:
    from nerfstudio.viewer.viewer import Viewer

    from ns_talking.methods.base import PortraitModel
    from ns_talking.pipelines.portrait import Driving, PortraitPipeline
    from ns_talking.viewer.controls import Controls

_CPU_FRAMES_PER_S = 10
"""Pictures per second that a viewer aims at without a GPU while the camera moves, where 30 would be stamps."""


class TalkingPanel(ViewerControl):
    """Everything a viewer shows and does beyond Nerfstudio's own controls.

    Nerfstudio finds this object because it is an attribute of the model, and calls `_setup` when its page is ready.
    Training goes on under the clip's own sound: what the panel chooses holds for the viewer's pictures alone.

    Args:
        model: The portrait.
    """

    def __init__(self, model: PortraitModel) -> None:
        self._model = [model]  # In a list, where PyTorch does not look for submodules.
        self._driving: Driving | None = None
        self._controls: Controls | None = None
        self.playback = Playback(0.0)
        """Where the sound stands."""
        self.shown_frame = 0
        """Frame of the track in the last picture."""
        self._began: dict[int, tuple[int, float]] = {}
        self._sent_s: dict[int, float] = {}
        self._has_rendered = False

    @property
    def model(self) -> PortraitModel:
        """The portrait."""
        return self._model[0]

    @property
    def pipeline(self) -> PortraitPipeline:
        """The portrait's pipeline, while a viewer shows it."""
        return self.viewer.pipeline  # pyright: ignore[reportReturnType] # Nerfstudio's class of all pipelines.

    @property
    def driving(self) -> Driving:
        """What drives the viewer's pictures."""
        assert self._driving is not None
        return self._driving

    def watches(self, camera: Cameras) -> bool:
        """Whether a camera is that of the page. The clip's carry their frame; the Render tab's preview its time."""
        if self._controls is None or "frame_index" in (camera.metadata or {}):
            return False
        return not getattr(getattr(self.viewer, "render_tab_state", None), "preview_render", False)

    def render(self, camera: Cameras) -> dict[str, torch.Tensor]:
        """Render what the page shows now; called by the viewer with its lock held."""
        began_s = time.monotonic()
        number, shown_s = self.playback.begin(began_s)
        self._began[threading.get_ident()] = number, began_s
        # Nerfstudio interrupts by an exception in the middle of any line. The first picture imports the kernels, and
        # a package whose import broke off cannot be imported again: there would be no further picture.
        if self.playback.playing or not self._has_rendered:
            self._uninterrupted()
        with self.driven():
            track = self.model.track
            frame = min(round(shown_s * track.fps), track.num_frames - 1)
            condition = self._faced(frame)
            pose = self._head_pose(frame)
            if pose is not None:
                camera.camera_to_worlds = torch.from_numpy(pose[None, :3].astype(np.float32)).to(self.model.device)
            outputs = render_view(self.model, camera, condition, self._closeup(frame))
        self.shown_frame, self._has_rendered = frame, True
        return outputs

    def _uninterrupted(self) -> None:
        """Render without the trace by which Nerfstudio interrupts pictures, and which slows every line."""
        renderer = threading.current_thread()
        if hasattr(renderer, "interrupt_render_flag"):
            renderer.interrupt_render_flag = False
            sys.settrace(None)

    def _sent(self) -> None:
        """Measure what the picture took that was just sent."""
        page, now_s = threading.get_ident(), time.monotonic()
        before_s = self._sent_s.pop(page, None)
        if self.playback.playing:
            interval_s = None if before_s is None else now_s - before_s
            number, began_s = self._began[page]
            self.playback.sent(number, now_s - began_s, interval_s)
            self._sent_s[page] = now_s

    def _number(self) -> int | None:
        """Number of the picture that the page's thread is sending."""
        number, _ = self._began.get(threading.get_ident(), (None, 0.0))
        return number

    @contextmanager
    def driven(self) -> Iterator[None]:
        """Let the panel's sound and background drive the model for a moment; training gets its own back."""
        pipeline, model = self.pipeline, self.model
        before, plate = pipeline.driven_by(), model.plate
        colour = self._controls.background() if self._controls is not None else None
        try:
            pipeline.drive(self.driving)
            if colour is not None:
                model.plate = (torch.tensor(colour, device=model.device) / 255).view(1, 3, 1, 1).expand_as(plate)
            yield
        finally:
            pipeline.drive(before)
            model.plate = plate

    def lock(self) -> Any:  # Any: a lock or nothing, as context managers.
        """Keep training and other renders out."""
        return nullcontext() if self.viewer.train_lock is None else self.viewer.train_lock

    def choose(self, path: Path | None) -> None:
        """Let a sound drive the page.

        Args:
            path: Any file with sound; None is the clip's own.

        Raises:
            ValueError: When the portrait cannot be driven by it.
        """
        driving = self.pipeline.driving(path)
        with self.lock():
            self._driving = driving
            self.playback = self.playback.of(driving.track.duration_s)

    def rerender(self) -> None:
        """Ask for a new picture."""
        self.viewer._trigger_rerender()

    def _setup(self, viewer: Viewer) -> None:
        super()._setup(viewer)
        self._driving = self.pipeline.driven_by()
        self.playback = Playback(self.driving.track.duration_s)
        try:
            from ns_talking.viewer.controls import Controls

            self._controls = Controls(self)
        except (AttributeError, TypeError) as error:
            CONSOLE.print(
                f"[yellow]This version of Viser or Nerfstudio builds its page in another way ({error}), so there is no "
                "panel for sound. Use `ns-talking render`.[/yellow]"
            )
            return
        viewer.viser_server.on_client_connect(self._welcome)

    def _welcome(self, client: Any) -> None:  # Any: Viser's handle.
        """Place a new page's camera where the clip's stood, and take the training cameras out of its way."""
        self.start_view(client)
        for handle in getattr(self.viewer, "camera_handles", {}).values():
            handle.visible = False
        self.viewer.hide_images.visible, self.viewer.show_images.visible = False, True
        threading.Thread(target=self._keep_pace, args=(client.client_id,), daemon=True).start()

    def _keep_pace(self, client_id: int) -> None:
        """Choose the size of a page's pictures while sound plays, and measure them."""
        for _ in range(50):
            renderer: Any = self.viewer.render_statemachines.get(client_id)  # Any: methods are exchanged.
            if renderer is not None:
                break
            time.sleep(0.1)
        else:
            return
        if self.model.device.type == "cpu":
            renderer.target_fps = _CPU_FRAMES_PER_S
        choose, send = renderer._calculate_image_res, renderer._send_output_to_viewer

        def chosen(aspect_ratio: float) -> tuple[int, int]:
            if not self.playback.playing:
                return choose(aspect_ratio)
            return self.playback.pace.size(aspect_ratio, int(self.viewer.control_panel.max_res))

        def sent(*outputs: Any, **how: Any) -> None:  # Any: as above.
            send(*outputs, **how)
            self._sent()

        renderer._calculate_image_res, renderer._send_output_to_viewer = chosen, sent
        stamp_pictures(renderer.client, self._number)

    def start_view(self, client: Any) -> None:  # Any: Viser's handle.
        """Put a page's camera where the clip's camera stood on average."""
        from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO as SCALE

        poses, portrait = self.pipeline.clip_track.head_poses, self.model.portrait
        pose = poses[nearest_to_mean(poses)]
        position, forward = pose[:3, 3], -pose[:3, 2]
        with client.atomic():
            client.camera.fov = 2 * float(np.arctan(portrait.height / 2 / portrait.focal_px))
            client.camera.position = position * SCALE
            client.camera.up_direction = pose[:3, 1]
            client.camera.look_at = (position + forward * np.linalg.norm(position)) * SCALE

    def _faced(self, frame: int) -> Any:  # Any: a condition.
        condition = self.model.track.at_frames(torch.tensor([frame], device=self.model.device))
        closed = self._controls.closed() if self._controls is not None else None
        return condition if closed is None else replace(condition, blink=torch.full_like(condition.blink, closed))

    def _head_pose(self, frame: int) -> np.ndarray | None:
        """Camera-to-world that replaces the page's camera; None leaves it to the hand."""
        head = self._controls.head() if self._controls is not None else "free"
        poses = self.pipeline.clip_track.head_poses
        if head == "free":
            return None
        return self.model.track.head_poses[frame] if head == "clip" else poses[nearest_to_mean(poses)]

    def _closeup(self, frame: int) -> Closeup | None:
        if self._controls is None or not self._controls.wants_mouth():
            return None
        portrait = self.model.portrait
        source = int(self.model.track.source_frames[frame])
        lips = portrait.landmarks[:, scheme(portrait.landmark_scheme).lips, :2]
        return mouth_closeup(lips[source]) or mouth_closeup(np.nanmedian(lips, axis=0))
