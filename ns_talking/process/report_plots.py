"""Plots of the report: tracking errors, poses, blinks, sound and lips."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from ns_talking.audio.levels import LEVEL_RATE_HZ
from ns_talking.process.clip_facts import ClipFacts
from ns_talking.process.step import FPS
from ns_talking.utils.plots import as_png, blank_figure, curve, envelope


def tracking_plot(facts: ClipFacts) -> bytes:
    """Plot the reprojection error of every frame, as PNG."""
    figure, (axis,) = blank_figure(1, 2.0)
    error = facts.reprojection_px
    curve(axis, np.arange(len(error)) / FPS, error, "C0")
    axis.axhline(float(np.nanmedian(error)), color="0.5", linewidth=0.8, linestyle="--")
    axis.set(ylabel="median error, px", xlabel="s", ylim=(0, None))
    return as_png(figure)


def pose_plot(poses: Float[np.ndarray, "frames 4 4"], facts: ClipFacts) -> bytes:
    """Plot rotation and position over time, with their frame-to-frame noise, as PNG."""
    figure, (turn, place) = blank_figure(2, 3.6)
    instants = np.arange(len(poses)) / FPS
    rotations = Rotation.from_matrix(poses[:, :3, :3])
    angles = (rotations[len(poses) // 2].inv() * rotations).as_rotvec(degrees=True)
    shifts = (poses[:, :3, 3] - np.median(poses[:, :3, 3], axis=0)) * 250
    for axis_index, name in enumerate(("nod", "shake", "tilt")):
        sigma = float(facts.jitter_rotation_deg[axis_index])
        curve(turn, instants, angles[:, axis_index], f"C{axis_index}", f"{name}, noise {sigma:.2f} deg")
    for axis_index, name in enumerate("xyz"):
        sigma = float(facts.jitter_translation[axis_index]) * 250
        curve(place, instants, shifts[:, axis_index], f"C{axis_index}", f"{name}, noise {sigma:.1f} mm")
    turn.set(ylabel="camera turn, deg")
    place.set(ylabel="camera shift, mm", xlabel="s")
    for axis in (turn, place):
        axis.legend(loc="upper right", ncols=3, fontsize=8, frameon=False)
    return as_png(figure)


def blink_plot(facts: ClipFacts) -> bytes:
    """Plot the blink track, as PNG."""
    figure, (axis,) = blank_figure(1, 1.7)
    axis.fill_between(np.arange(len(facts.blink)) / FPS, facts.blink, color="C4", linewidth=0)
    axis.set(ylabel="eyes closed", xlabel="s", ylim=(0, 1))
    return as_png(figure)


def sound_plot(facts: ClipFacts) -> bytes:
    """Plot the level of the sound above the opening of the lips, as PNG."""
    figure, (sound, lips) = blank_figure(2, 3.4)
    level = facts.level_db if len(facts.level_db) else np.full(2, -90.0)
    curve(sound, np.arange(len(level)) / LEVEL_RATE_HZ, level, "C2")
    sound.axhline(float(np.percentile(level, 90)) - 25, color="0.5", linewidth=0.8, linestyle="--")
    sound.set(ylabel="level, dB", ylim=(-92, 2))
    curve(lips, np.arange(len(facts.aperture)) / FPS, facts.aperture, "C3")
    lips.set(ylabel="lips open, eye distances", xlabel="s", ylim=(0, None))
    return as_png(figure)


def waveform_plot(samples: Float[np.ndarray, " samples"], sample_rate: int) -> bytes:
    """Plot the envelope of the soundtrack, as PNG."""
    figure, (axis,) = blank_figure(1, 1.5)
    envelope(axis, samples, sample_rate)
    axis.set(ylabel="amplitude", xlabel="s", ylim=(-1, 1))
    return as_png(figure)


def lag_plot(facts: ClipFacts) -> bytes:
    """Plot the correlation of lips and sound over lags, as PNG."""
    figure, (axis,) = blank_figure(1, 1.9, width=5.5)
    axis.plot(facts.lags_s * 1000, facts.lag_curve, color="C0", linewidth=1.2)
    axis.axvline(facts.lag_s * 1000, color="C3", linewidth=0.8)
    axis.axhline(0, color="0.7", linewidth=0.6)
    axis.set(xlabel="sound after lips, ms", ylabel="correlation")
    return as_png(figure)
