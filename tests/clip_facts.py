"""Facts about a clip with which nothing is wrong."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ns_talking.process.clip_facts import ClipFacts


def good_facts(**changes: Any) -> ClipFacts:
    """A clip to which no check objects, but for what a test changes."""
    frames = 3000
    generator = np.random.default_rng(0)
    level = np.where(np.arange(12000) % 600 < 60, -60.0, -20.0) + generator.normal(0, 1, 12000)
    facts = ClipFacts(
        duration_s=120.0,
        num_frames=frames,
        width=512,
        height=512,
        source_fps=25.0,
        source_px_per_px=2.0,
        audio_s=120.0,
        sound_after_picture_s=0.0,
        padded_s=0.0,
        usable_share=1.0,
        several_faces_share=0.0,
        eye_distance_px=120.0,
        sharpness=np.full(48, 0.5),
        brightness=np.full(48, 140.0),
        overexposed_share=0.0,
        underexposed_share=0.01,
        reprojection_px=np.full(frames, 0.5),
        jitter_rotation_deg=np.array([0.2, 0.1, 0.1]),
        jitter_translation=np.array([0.005, 0.005, 0.01]),
        turn_deg=15.0,
        focal_in_widths=1.7,
        focal_flatness={"x0.75": 1.01, "x1.33": 1.0},
        focal_fixed=False,
        aperture=0.1 + 0.05 * np.sin(np.arange(frames)),
        level_db=level,
        clipped_share=0.0,
        lag_s=0.02,
        lag_correlation=0.4,
        lags_s=np.linspace(-0.4, 0.4, 81),
        lag_curve=np.zeros(81),
        blink=np.zeros(frames),
        blinks_per_minute=15.0,
        off_centre=(0.02, -0.05),
        cut_off_share=0.0,
        background_drift=2.0,
        never_seen_share=0.5,
        head_flicker=0.004,
    )
    return dataclasses.replace(facts, **changes)
