"""The pipeline of a portrait: phases in training, exchange of the audio afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig

from ns_talking.data.portrait_datamanager import PortraitDataManager, PortraitDataManagerConfig
from ns_talking.driving.features import extract_features, feature_values
from ns_talking.driving.track import DrivingTrack, Pose, driven
from ns_talking.pipelines.phases import PhasesConfig

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


class PortraitPipeline(VanillaPipeline):
    """Tells data and model the phase of every step, and lets any sound drive the portrait."""

    config: PortraitPipelineConfig
    datamanager: PortraitDataManager

    def __init__(
        self,
        config: PortraitPipelineConfig,
        device: str,
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        **kwargs: Any,  # Any: Nerfstudio's trainer adds its gradient scaler.
    ) -> None:
        super().__init__(config, device, test_mode, world_size, local_rank, **kwargs)
        model = self.portrait_model
        self.clip_track = model.track
        """The clip's own track, which lends poses and blinks to other sound."""
        if test_mode == "val":
            model.prepare_training(self.datamanager.train_dataset)
        audio = self.datamanager.train_dataset.metadata.get("audio")
        if audio is not None:
            self.set_audio(audio)

    @property
    def portrait_model(self) -> PortraitModel:
        """The model, unwrapped from distributed training, with its own type."""
        return self.model  # pyright: ignore[reportReturnType] # The config's target is a portrait model.

    @property
    def audio_identity(self) -> str:
        """Which extractor, with which settings, made the features that the portrait was trained with."""
        return self.portrait_model.audio_code.identity

    def set_audio(
        self,
        path: Path | None,
        pose: Pose = "track",
        *,
        output: Path | None = None,
        start_frame: int | None = None,
    ) -> DrivingTrack:
        """Let another sound drive the portrait from now on.

        Args:
            path: Any file with sound; None goes back to the clip's own.
            pose: `track` moves the head as in the clip, forward and backward in turns; `still` holds it.
            output: Where to keep the extracted features, so that an hour of sound needs no more memory.
            start_frame: Frame of the clip that lends the first pose and blink.

        Returns:
            The new track, which the model uses already.

        Raises:
            ValueError: When the sound's features differ from those that the portrait was trained with.
        """
        model = self.portrait_model
        if path is None:
            model.track = self.clip_track
            model.audio_code.match_voice(None)
            return self.clip_track
        features = extract_features(self.clip_track.features.name, path, output)
        if features.identity != self.audio_identity:
            raise ValueError(
                f"The portrait was trained with the audio features {self.audio_identity!r}, this ns-talking extracts "
                f"{features.identity!r}. Use the version that trained it, or train it again."
            )
        model.audio_code.match_voice(feature_values(features))
        model.track = driven(self.clip_track, features, pose=pose, start_frame=start_frame)
        return model.track

    def get_train_loss_dict(self, step: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Take the phase's pixels and weigh the phase's losses."""
        phase = self.config.phases.at(step)
        self.datamanager.phase = phase.name
        self.portrait_model.set_step(step, phase)
        return super().get_train_loss_dict(step)

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Load a checkpoint, and insist that it belongs to this method and configuration.

        Raises:
            ValueError: When parameters are missing or left over, where Nerfstudio would go on in silence.
        """
        super().load_pipeline(loaded_state, step)
        expected, found = set(self.state_dict()), {key.removeprefix("module.") for key in loaded_state}
        if expected != found:
            odd = sorted(expected ^ found)
            raise ValueError(
                f"The checkpoint does not fit the configuration: {len(odd)} parameters are missing or left over, the "
                f"first is {odd[0]!r}. Load it with the config.yml that was written beside it."
            )
