"""What an audio code measures on the training frames before the first step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ns_talking.data.format import Portrait
from ns_talking.data.landmarks import scheme
from ns_talking.data.lip_shape import inner_lips_mask, lip_shapes
from ns_talking.driving.track import DrivingTrack
from ns_talking.modules.audio_code import AudioCode
from ns_talking.utils.progress import CONSOLE

_FRAMES_AT_ONCE = 128


def prepare_audio_code(
    audio_code: AudioCode, portrait: Portrait, track: DrivingTrack, frames: Sequence[int], device: torch.device
) -> None:
    """Measure statistics of the sound and, where they are wanted, its mean sounds and the lip shape that it predicts.

    Args:
        audio_code: Is given what is measured.
        portrait: The clip.
        track: Its own track.
        frames: Indices of the training frames, in time order.
        device: Where the audio code lives.
    """
    indices = torch.tensor(frames)
    # The whole context of all frames at once would take eight times the memory of what is needed of it.
    windows = torch.cat(
        [audio_code.wide_windows(track.at_frames(part).audio) for part in indices.split(_FRAMES_AT_ONCE)]
    )
    audio_code.fit_statistics(windows)
    if num_sounds := audio_code.num_mean_sounds:
        spread = indices[torch.linspace(0, len(indices) - 1, num_sounds).round().long()]
        heard = track.at_frames(spread, device)
        # A clip of few frames gives some of them twice.
        audio_code.set_mean_sounds(heard.audio[heard.row])
    layout = scheme(portrait.landmark_scheme)
    shapes = lip_shapes(portrait.landmarks[indices.numpy()], layout)
    inner_lips = torch.from_numpy(inner_lips_mask(layout))
    fit = audio_code.fit_lip_shape(windows, indices, torch.from_numpy(shapes), inner_lips)
    if fit is not None:
        CONSOLE.print(
            f"Fitted lip shape to sound on {len(indices)} frames: correlation {float(fit.correlation[0]):.2f} with "
            "the tracked shape on parts that the fit did not see."
        )
