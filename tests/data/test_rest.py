"""Where a clip shows the mouth at rest."""

from __future__ import annotations

import numpy as np
import pytest

from ns_talking.data.rest import rest_frames

APERTURE = np.tile([0.3, 0.2, 0.1, 0.0], 25).astype(np.float64)


def test_rest_is_the_more_closed_half_of_the_pauses() -> None:
    voice = np.ones(100)
    voice[40:60] = 0
    assert rest_frames(voice, APERTURE).tolist() == [k for k in range(40, 60) if k % 4 > 1]


@pytest.mark.parametrize("voice", [None, np.ones(100)])
def test_a_speaker_who_never_pauses_rests_where_the_lips_are_closed_most(voice: np.ndarray | None) -> None:
    chosen = rest_frames(voice, APERTURE)
    assert len(chosen) == 5 and (APERTURE[chosen] == 0).all()


def test_frames_without_a_face_are_never_chosen() -> None:
    aperture = APERTURE.copy()
    aperture[3::4] = np.nan
    voice = np.ones(100)
    voice[3:60:4] = 0
    assert np.isfinite(aperture[rest_frames(voice, aperture)]).all()
    with pytest.raises(ValueError, match="No training frame shows a face"):
        rest_frames(None, np.full(4, np.nan))
