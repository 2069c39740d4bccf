"""Audio features of the soundtrack, from the frozen extractors of `ns_talking.audio`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ns_talking.audio import FEATURES
from ns_talking.process.split import feature_identities
from ns_talking.process.step import ProcessSettings, Progress, Workspace
from ns_talking.utils.files import atomic_path
from ns_talking.utils.registry import lookup


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
        figures: dict[str, Any] = {}
        names = workspace.settings.audio_features
        with progress("Extracting audio features", total=len(names), unit="extractors") as advance:
            for name in names:
                extractor = lookup(FEATURES, name, "audio features")()
                with atomic_path(workspace.features / f"{name}.npy") as path:
                    features = extractor.extract(workspace.audio, path)
                    figures[name] = {
                        "steps": len(features.values),
                        "channels": features.channels,
                        "rate_hz": features.rate_hz,
                        "duration_s": round(features.duration_s, 3),
                    }
                    del features
                advance()
        return figures
