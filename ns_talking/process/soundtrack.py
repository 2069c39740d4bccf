"""The soundtrack: 16 kHz mono, cut so that its first sample is the instant of the first frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ns_talking.audio.io import SAMPLE_RATE_HZ, stream_audio, write_wav, write_wav_blocks
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
        squares, num_found = 0.0, 0

        def exactly() -> Iterator[Float[np.ndarray, " samples"]]:
            """Give the sound, then silence up to the end of the pictures."""
            nonlocal squares, num_found
            for block in stream_audio(workspace.video, start_s=clip.start_s, duration_s=clip.duration_s):
                kept = block[: num_samples - num_found]
                squares += float(np.square(kept, dtype=np.float64).sum())
                num_found += len(kept)
                advance(len(kept) / SAMPLE_RATE_HZ)
                yield kept
            yield np.zeros(num_samples - num_found, dtype=np.float32)

        with progress("Reading the sound", total=round(clip.duration_s), unit="s") as advance:
            write_wav_blocks(workspace.audio, exactly())
        missing_s = (num_samples - num_found) / SAMPLE_RATE_HZ
        level = (squares / num_samples) ** 0.5
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
