"""The pipeline of a portrait: phases in training, exchange of the audio afterwards."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from nerfstudio.engine.callbacks import (
    TrainingCallback,
    TrainingCallbackAttributes,
    TrainingCallbackLocation,
)
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from rich.markup import escape
from torch import Tensor

from ns_talking.data.format import SUBJECT
from ns_talking.data.identity import clip_identity
from ns_talking.data.portrait_datamanager import PortraitDataManager, PortraitDataManagerConfig
from ns_talking.data.subject import read_subject
from ns_talking.driving.features import extract_features, feature_values, read_features, voice_of
from ns_talking.driving.track import DrivingTrack, Pose, Silence, driven, num_frames_of
from ns_talking.pipelines import viewer_hook
from ns_talking.pipelines.guard import TrainingGuard
from ns_talking.pipelines.phases import Phase, PhasesConfig
from ns_talking.pipelines.several_processes import share_state
from ns_talking.utils.halves import share_threads
from ns_talking.utils.heap import (
    forget_unused_code,
    give_back_memory,
    keep_what_a_step_frees,
    leave_without_unloading,
    share_one_heap,
)
from ns_talking.utils.progress import CONSOLE

if TYPE_CHECKING:
    from ns_talking.methods.base import PortraitModel


@dataclass
class PortraitPipelineConfig(VanillaPipelineConfig):
    """Options of a portrait's pipeline."""

    _target: type = field(default_factory=lambda: PortraitPipeline)
    datamanager: PortraitDataManagerConfig = field(default_factory=PortraitDataManagerConfig)
    """Frames and pixels."""
    phases: PhasesConfig = field(default_factory=PhasesConfig)
    """Lengths of the training phases; their proportions hold for any number of iterations."""
    train_torso_beside_head: bool = False
    """Whether a step of the head phase trains the torso too, which shares no parameter with the head and costs little;
    the torso's own phase then only finishes it."""


@dataclass(frozen=True)
class Driving:
    """A sound in command of a portrait."""

    track: DrivingTrack
    audio: Path | None
    """Its file; None where the clip has none."""
    voice: tuple[Tensor, Tensor] | None = None
    """What brings its voice to the clip's, as in `AudioCode.voice`."""


class PortraitPipeline(VanillaPipeline):
    """Tells data and model the phase of every step, and lets any sound drive the portrait."""

    config: PortraitPipelineConfig
    datamanager: PortraitDataManager

    def __init__(
        self,
        config: PortraitPipelineConfig,
        device: torch.device | str,
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        **kwargs: Any,  # Any: Nerfstudio's trainer adds its gradient scaler.
    ) -> None:
        if torch.device(device).type == "cpu":
            share_one_heap()
            forget_unused_code()
        # Nerfstudio annotates `str` and passes a device. Told of one process, it does not wrap the model.
        super().__init__(config, device, test_mode, 1, local_rank, **kwargs)  # pyright: ignore[reportArgumentType]
        self.world_size = self.datamanager.world_size = world_size
        self.guard: TrainingGuard | None = None
        """Looks at the losses before they reach the parameters; the trainer sets it."""
        model = self.portrait_model
        if model.works_in_halves and torch.device(device).type == "cpu":
            share_threads()
        self.clip_track = model.track
        """The clip's own track, which lends poses and blinks to other sound."""
        self.clip = clip_identity(model.portrait)
        """The clip of the dataset, which the checkpoint remembers."""
        self._trained_on: dict[str, str] | None = None
        self.audio = model.portrait.audio
        """File with the sound that drives the portrait, if there is one."""
        self.checkpoint: Path | None = None
        """File that the portrait was loaded from, where the one who loaded it says so."""
        if test_mode != "val":
            # A PyAV that does not load must not take the commands of other methods down with it.
            from ns_talking.pipelines import render_hook

            render_hook.install()
            viewer_hook.install()
            model.held_frame = held_frame(self.clip_track)
            return
        if self._asked_audio is not None:
            raise ValueError(
                f"--audio {self._asked_audio} was given to a training, which listens to the clip's own sound. Leave it "
                "out, and let other sound drive the portrait when it is trained: ns-talking render --audio"
            )
        if self.device.type == "cpu":
            keep_what_a_step_frees()
        model.prepare_training(self.datamanager.train_dataset)
        if world_size > 1:
            share_state(model)
        give_back_memory()
        forget_unused_code()
        if read_subject(model.portrait.folder) is None:
            CONSOLE.print(
                f"[yellow]{escape(str(model.portrait.folder))} has no {SUBJECT}, which says who is shown and agreed "
                "to it. Train portraits only of people who consent; `ns-talking process --subject` keeps the record."
                "[/yellow]",
                soft_wrap=True,
            )

    @property
    def portrait_model(self) -> PortraitModel:
        """The model, unwrapped from distributed training, with its own type."""
        return self.model  # pyright: ignore[reportReturnType] # The config's target is a portrait model.

    @property
    def audio_identity(self) -> str:
        """Which extractor, with which settings, made the features that the portrait was trained with."""
        return self.portrait_model.audio_code.identity

    @property
    def _asked_audio(self) -> Path | None:
        """The dataset's option `--audio`."""
        return self.datamanager.train_dataset.metadata.get("audio")

    def set_audio(
        self,
        path: Path | None,
        pose: Pose = "track",
        *,
        output: Path | None = None,
        start_frame: int | None = None,
        silence: Silence = "rest",
        features: Path | None = None,
    ) -> DrivingTrack:
        """Let another sound drive the portrait from now on.

        Args:
            path: Any file with sound; None goes back to the clip's own.
            pose: `track` moves the head as in the clip, forward and backward in turns; `still` holds it.
            output: Where to keep the extracted features, so that an hour of sound needs no more memory.
            start_frame: Frame of the clip that lends the first pose and blink.
            silence: `rest` eases the mouth to how the speaker holds it in the clip's own pauses while nobody speaks;
                `off` lets the sound move it throughout.
            features: Audio features of the sound, from the tool that made those the portrait was trained on; None
                extracts them.

        Returns:
            The new track, which the model uses already.

        Raises:
            ValueError: When the sound's features differ from those that the portrait was trained with.
        """
        return self.drive(
            self.driving(path, pose, output=output, start_frame=start_frame, silence=silence, features=features)
        )

    def driving(
        self,
        path: Path | None,
        pose: Pose = "track",
        *,
        output: Path | None = None,
        start_frame: int | None = None,
        silence: Silence = "rest",
        features: Path | None = None,
    ) -> Driving:
        """Prepare what `set_audio` does, without doing it; arguments and errors are the same."""
        if path is None:
            return Driving(self.clip_track, self.portrait_model.portrait.audio)
        name = self.clip_track.features.name
        table = extract_features(name, path, output) if features is None else read_features(name, features)
        if table.identity != self.audio_identity:
            raise ValueError(
                f"The portrait was trained with the audio features {self.audio_identity!r}, this ns-talking "
                f"{'extracts' if features is None else 'found'} {table.identity!r}. Use the version that trained it, "
                "or train it again; features of another tool are handed over with --features FILE."
            )
        model = self.portrait_model
        heard = None
        if silence == "rest":
            if not model.audio_code.knows_rest:
                model.measure_rest(self.datamanager.train_dataset, self.clip_track)
            fps = self.clip_track.fps
            heard = voice_of(path, num_frames_of(table.duration_s, fps), fps)
        track = driven(self.clip_track, table, pose=pose, start_frame=start_frame, voice=heard)
        return Driving(track, path, model.audio_code.voice_match(feature_values(table)))

    def drive(self, driving: Driving) -> DrivingTrack:
        """Let a prepared sound drive the portrait from now on, and give its track."""
        model = self.portrait_model
        model.track, model.audio_code.voice, self.audio = driving.track, driving.voice, driving.audio
        return driving.track

    def driven_by(self) -> Driving:
        """Tell what drives the portrait now."""
        model = self.portrait_model
        return Driving(model.track, self.audio, model.audio_code.voice)

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """Add to what data and model wish for: on a CPU, memory that steps left behind goes back now and then."""
        wishes = super().get_training_callbacks(training_callback_attributes)
        if self.device.type != "cpu":
            return wishes
        steps, end = [TrainingCallbackLocation.AFTER_TRAIN_ITERATION], [TrainingCallbackLocation.AFTER_TRAIN]
        return [
            *wishes,
            # A step in so many, for it costs one in a hundred of the time: what is given back has to be fetched again.
            TrainingCallback(steps, lambda step: give_back_memory(), update_every_num_iters=20),
            TrainingCallback(end, lambda step: give_back_memory()),
            TrainingCallback(end, lambda step: leave_without_unloading()),
        ]

    def get_train_loss_dict(self, step: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Take the phase's pixels and weigh the phase's losses."""
        phase = self.config.phases.at(step)
        outputs, losses, metrics = self._phase_losses(step, phase)
        if phase.name == "head" and self.config.train_torso_beside_head:
            _, of_torso, _ = self._phase_losses(step, replace(phase, name="torso"))
            self.portrait_model.set_step(step, phase)
            losses |= of_torso
        if self.guard is not None:
            self.guard.check_losses(losses, step)
        return outputs, losses, metrics

    def _phase_losses(self, step: int, phase: Phase) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        self.datamanager.phase = phase.name
        self.portrait_model.set_step(step, phase)
        if self.datamanager.budget is not None:
            self.datamanager.budget.losses = self.portrait_model.class_losses()
        return super().get_train_loss_dict(step)

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Load a checkpoint, and insist that it belongs to this method and configuration.

        The dataset's option `--audio` drives the portrait from now on; matching its voice to the clip's takes what the
        checkpoint knows of that.

        Raises:
            ValueError: When parameters are missing or left over, where Nerfstudio would go on in silence.
        """
        self._trained_on = None
        try:
            super().load_pipeline(loaded_state, step)
        except RuntimeError as error:
            # PyTorch lists every parameter whose size differs, a line each.
            sizes = re.search(r"size mismatch for (.+)", str(error))
            if sizes is None:
                raise
            raise ValueError(
                f"The checkpoint does not fit: size mismatch for {sizes[1]} It was trained on another dataset or with "
                "other options: name that dataset, or the config.yml beside the checkpoint, or train anew."
            ) from error
        expected, found = set(self.state_dict()), {key.removeprefix("module.") for key in loaded_state}
        # What later versions added to checkpoints is measured again.
        added = {f"_model.audio_code.{name}" for name in self.portrait_model.audio_code.ADDED_STATE} | {_CLIP}
        odd = sorted((expected ^ found) - added)
        if odd:
            raise ValueError(
                f"The checkpoint does not fit the configuration: {len(odd)} parameters are missing or left over, the "
                f"first is {odd[0]!r}. Load it with the config.yml that was written beside it."
            )
        self._check_clip()
        if self._asked_audio is not None:
            self.set_audio(self._asked_audio)

    def get_average_eval_image_metrics(
        self, step: int | None = None, output_path: Path | None = None, get_std: bool = False
    ) -> dict[str, Any]:  # Any: Nerfstudio's own annotation.
        """Compare the held-out frames with what was filmed, under the sound that was heard in them."""
        if self.portrait_model.track is not self.clip_track:
            CONSOLE.print(f"The frames are compared under the clip's own sound; {self.audio} is left out.")
            self.set_audio(None)
        return super().get_average_eval_image_metrics(step, output_path, get_std)

    def get_extra_state(self) -> dict[str, str]:
        """Put the clip's identity into the checkpoint."""
        return self.clip.as_state()

    def set_extra_state(self, state: Any) -> None:  # Any: PyTorch's signature.
        """Take the identity of the clip that the checkpoint was trained on."""
        self._trained_on = state

    def _check_clip(self) -> None:
        """Insist that the dataset is the one of the training; checkpoints from before they told are believed."""
        if self._trained_on is None or self._trained_on["digest"] == self.clip.digest:
            return
        folder = self.portrait_model.portrait.folder
        message = (
            f"The portrait was trained on another clip ({self._trained_on['summary']}) than the dataset {folder} holds "
            f"({self.clip.summary}), or on another tracking of it."
        )
        if self.test_mode == "val":
            CONSOLE.print(f"[yellow]{message} Training starts from it all the same.[/yellow]")
            return
        raise ValueError(f"{message} Its poses, torso and background would not fit. Name the dataset of the training.")


MOMENT = "NS_TALKING_MOMENT"
"""Environment variable: the instant, in seconds of the clip, that commands hold which know no time."""
_CLIP = "_extra_state"
"""Name of the clip's identity in the checkpoint."""


def held_frame(track: DrivingTrack) -> int | None:
    """Find the frame at which a point cloud or a mesh shows the portrait; None where everything moves.

    Nerfstudio's exporter gathers rays of all training frames, and a mouth that is open and closed at once is none.

    Raises:
        ValueError: When NS_TALKING_MOMENT is no instant of the clip.
    """
    text = os.environ.get(MOMENT)
    if text is None and "nerfstudio.scripts.exporter" not in sys.modules:
        return None
    try:
        frame = round(float(text or 0) * track.fps)
    except ValueError:
        frame = -1
    if not 0 <= frame < track.num_frames:
        raise ValueError(f"{MOMENT}={text} is no instant of the clip, which lasts {track.duration_s:.2f} s.")
    CONSOLE.print(
        f"The portrait holds still as it is at {frame / track.fps:.2f} s of the clip; {MOMENT}=SECONDS chooses another "
        "instant."
    )
    return frame
