"""The soundtrack: 16 kHz mono, cut so that its first sample is the instant of the first frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ns_talking.audio.io import SAMPLE_RATE_HZ, read_audio, write_wav
from ns_talking.process.step import ProcessSettings, Progress, Workspace
from ns_talking.utils.video import video_info

_TOLERATED_GAP_S = 0.2


class SoundtrackStep:
    """Extract the sound: `audio.wav`, exactly as long as the clip."""

    name = "soundtrack"
    needs: tuple[str, ...] = ("frames",)
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """List what the step writes."""
        return [workspace.audio]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Name the settings that matter: none beyond those of the frames."""
        return {}

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Decode, resample, pad with silence or trim."""
        clip = workspace.clip()
        num_samples = round(clip.duration_s * SAMPLE_RATE_HZ)
        if not video_info(workspace.video).has_sound:
            write_wav(workspace.audio, np.zeros(num_samples, dtype=np.float32))
            return {"silent": True, "notes": ["The video has no sound: the soundtrack is silence."]}
        with progress("Reading the sound", total=1, unit="tracks") as advance:
            found = read_audio(workspace.video, SAMPLE_RATE_HZ, clip.start_s, clip.duration_s)
            advance()
        samples = np.zeros(num_samples, dtype=np.float32)
        samples[: min(len(found), num_samples)] = found[:num_samples]
        write_wav(workspace.audio, samples)
        missing_s = max(0.0, (num_samples - len(found)) / SAMPLE_RATE_HZ)
        level = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
        notes = []
        if missing_s > _TOLERATED_GAP_S:
            notes.append(f"The sound ends {missing_s:.2f} s before the pictures; silence was appended.")
        return {
            "silent": False,
            "seconds": num_samples / SAMPLE_RATE_HZ,
            "padded_s": round(missing_s, 4),
            "level_dbfs": round(20 * float(np.log10(max(level, 1e-6))), 2),
            "notes": notes,
        }
