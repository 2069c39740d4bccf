"""Audio features of the soundtrack, from the frozen extractors of `ns_talking.audio`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ns_talking.audio.extractors import feature_extractor
from ns_talking.audio.speech_model import SpeechModelFeatures
from ns_talking.process.split import feature_identities
from ns_talking.process.step import ProcessSettings, Progress, Workspace


class FeaturesStep:
    """Writes `features/<name>.npy` for every extractor asked for."""

    name = "features"
    needs = ("soundtrack",)
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """Files and folders that exist when the step is done."""
        return [workspace.features / f"{name}.npy" for name in workspace.settings.audio_features]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Only the settings that affect its outputs."""
        return feature_identities(settings)

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Do the step."""
        settings = workspace.settings
        duration_s = round(workspace.clip().duration_s)
        figures: dict[str, Any] = {}
        for name in settings.audio_features:
            extractor = feature_extractor(name, settings.models)
            if isinstance(extractor, SpeechModelFeatures):
                extractor.model.find(settings.models, progress)
            with progress(f"Extracting {name} features", total=duration_s, unit="s") as advance:
                features = extractor.extract(workspace.audio, workspace.features / f"{name}.npy", advance)
            figures[name] = {
                "steps": len(features.values),
                "channels": features.channels,
                "rate_hz": features.rate_hz,
                "duration_s": round(features.duration_s, 3),
                "identity": features.identity,
            }
        return figures
