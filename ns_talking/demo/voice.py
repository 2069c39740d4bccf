"""Source-filter synthesis: glottal pulses and noise through moving resonances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ns_talking.demo.compiled import compiled

CONTROL_RATE_HZ = 400


@dataclass(frozen=True)
class Voice:
    """Who speaks."""

    pitch_hz: float
    formant_scale: float
    """A shorter vocal tract raises all formants."""
    breath: float
    """Share of noise in the source."""


VOICES: dict[str, Voice] = {
    "bass": Voice(92.0, 0.91, 0.04),
    "baritone": Voice(112.0, 0.95, 0.05),
    "tenor": Voice(138.0, 1.0, 0.05),
    "alto": Voice(188.0, 1.12, 0.07),
    "soprano": Voice(222.0, 1.17, 0.08),
}


@dataclass(frozen=True)
class Controls:
    """What the vocal tract does, at `CONTROL_RATE_HZ`."""

    pitch_hz: Float[np.ndarray, " controls"]
    voicing: Float[np.ndarray, " controls"]
    """Loudness of the voiced source, 0 to about 1."""
    formants_hz: Float[np.ndarray, "controls 3"]
    noise: Float[np.ndarray, " controls"]
    """Loudness of the friction, 0 to about 1."""
    noise_hz: Float[np.ndarray, " controls"]
    """Centre of the friction's band."""


def voice_named(name: str) -> Voice:
    """Look up a voice.

    Raises:
        ValueError: When there is none of that name.
    """
    if name not in VOICES:
        raise ValueError(f"There is no voice {name!r}. Known: {', '.join(VOICES)}.")
    return VOICES[name]


def sound(
    controls: Controls, voice: Voice, num_samples: int, sample_rate: int, generator: np.random.Generator
) -> Float[np.ndarray, " samples"]:
    """Turn controls into samples in [-1, 1]."""
    at = np.arange(num_samples) / sample_rate * CONTROL_RATE_HZ
    steps = np.arange(len(controls.pitch_hz))

    def upsample(values: np.ndarray) -> np.ndarray:
        return np.interp(at, steps, values)

    source = _glottal(upsample(controls.pitch_hz), sample_rate)
    hiss = generator.normal(size=num_samples)
    source = (source + voice.breath * hiss) * upsample(controls.voicing)
    tract = source
    formants = controls.formants_hz * voice.formant_scale
    for index, bandwidth in enumerate((70.0, 95.0, 130.0)):
        tract = _resonate(tract, upsample(formants[:, index]), bandwidth, sample_rate)
    for frequency, bandwidth in ((3600.0, 220.0), (4600.0, 300.0)):
        tract = _resonate(tract, np.full(num_samples, frequency * voice.formant_scale), bandwidth, sample_rate)
    friction = hiss * upsample(controls.noise)
    centre = upsample(controls.noise_hz)
    friction = _resonate(friction, centre, 1100.0, sample_rate) - _resonate(friction, 0.4 * centre, 900.0, sample_rate)
    mixed = tract / max(float(np.abs(tract).max()), 1e-6) + 0.28 * friction / max(float(np.abs(friction).max()), 1e-6)
    return (0.7 * mixed / max(float(np.abs(mixed).max()), 1e-6)).astype(np.float32)


@compiled
def _glottal(pitch_hz: np.ndarray, sample_rate: int) -> np.ndarray:
    """Derivative of the flow through the vocal folds: a slow opening and a fast closing in every period."""
    flow = np.empty(pitch_hz.shape[0])
    phase, last = 0.0, 0.0
    for index in range(pitch_hz.shape[0]):
        phase += pitch_hz[index] / sample_rate
        phase -= np.floor(phase)
        if phase < 0.42:
            value = 0.5 * (1.0 - np.cos(np.pi * phase / 0.42))
        elif phase < 0.60:
            value = np.cos(0.5 * np.pi * (phase - 0.42) / 0.18)
        else:
            value = 0.0
        flow[index] = value - last
        last = value
    return flow * 6.0


@compiled
def _resonate(samples: np.ndarray, frequency_hz: np.ndarray, bandwidth_hz: float, sample_rate: int) -> np.ndarray:
    """Second-order resonance with unit gain at 0 Hz, whose frequency moves from sample to sample."""
    output = np.empty_like(samples)
    radius = np.exp(-np.pi * bandwidth_hz / sample_rate)
    c = -radius * radius
    first, second, b = 0.0, 0.0, 0.0
    for index in range(samples.shape[0]):
        if index % 16 == 0:
            frequency = min(frequency_hz[index], 0.48 * sample_rate)
            b = 2.0 * radius * np.cos(2.0 * np.pi * frequency / sample_rate)
        value = (1.0 - b - c) * samples[index] + b * first + c * second
        output[index] = value
        second, first = first, value
    return output
